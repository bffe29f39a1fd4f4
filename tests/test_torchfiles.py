"""Files of weights: what is read, and what is refused."""

import json
import subprocess
import sys
from importlib import metadata

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from earth_embed.cli import main
from earth_embed.errors import CheckpointError, EarthEmbedError
from earth_embed.pretrained.published import geoclip, packaged_weights, satclip
from earth_embed.torchfiles import TYPES, Weights, defect, read_weights
from tests.fuzzing import fuzz
from tests.pretrained.published import geoclip_arrays, satclip_arrays

VALID = save({"a": np.arange(6, dtype=np.float64).reshape(2, 3) / 3, "b.c": np.ones(2, np.int8)})


def file_of(entries, body, **more):
    """A safetensors file of {name: (type, shape, first byte, byte after the last)} and bytes."""
    header = {
        name: {"dtype": kind, "shape": shape, "data_offsets": [first, last]}
        for name, (kind, shape, first, last) in entries.items()
    }
    text = json.dumps(header | more).encode()
    return len(text).to_bytes(8, "little") + text + body


def read(folder, content):
    path = folder / "weights.safetensors"
    path.write_bytes(content)
    return read_weights(path)


def test_arrays_are_float32_and_counters_stay_integers(tmp_path):
    path = tmp_path / "weights.SafeTensors"
    path.write_bytes(VALID)
    found = read_weights(path)
    assert set(found.arrays) == {"a", "b.c"}
    np.testing.assert_array_equal(
        found.arrays["a"], np.arange(6, dtype=np.float32).reshape(2, 3) / 3
    )
    assert found.arrays["a"].dtype == np.float32
    np.testing.assert_array_equal(found.arrays["b.c"], np.ones(2, np.int8), strict=True)
    assert found.settings == {}


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32"])
def test_all_numbers_of_16_bits_and_those_of_32_are_exact(kind, tmp_path):
    size = np.dtype(kind).itemsize if kind != "bfloat16" else 2
    bits = np.arange(0, 256**size, 1 if size == 2 else 65_537, np.uint64).astype(f"u{size}")
    name = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}[kind]
    content = file_of({"a": (name, [len(bits)], 0, bits.nbytes)}, bits.tobytes())
    with np.errstate(invalid="ignore"):  # NaNs that signal
        expected = bits.view(getattr(ml_dtypes, kind, kind)).astype(np.float32)
    np.testing.assert_array_equal(read(tmp_path, content).arrays["a"], expected, strict=True)


OTHERS = {"C64": 8, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_types_are_refused_by_the_name_of_the_tensor(kind, tmp_path):
    size = 6 * OTHERS[kind]
    content = file_of({"a.weight": (kind, [2, 3], 0, size)}, bytes(size))
    with pytest.raises(
        CheckpointError, match=rf"expected 'a\.weight' .*; found {kind} of shape \(2"
    ):
        read(tmp_path, content)


@pytest.mark.parametrize("shape", [[1] * 65, [0, 2**62]])
def test_shapes_beyond_numpy_are_refused_by_the_name_of_the_tensor(shape, tmp_path):
    size = 4 * int(np.prod([float(n) for n in shape]))
    with pytest.raises(
        CheckpointError, match=r"'a\.weight' is F32 of shape \(.*: .*(array|dimens)"
    ):
        read(tmp_path, file_of({"a.weight": ("F32", shape, 0, size)}, bytes(size)))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (file_of({"a": ("F32", [2], 0, 8), "b": ("F32", [2], 4, 12)}, bytes(12)), "invalid offset"),
        (file_of({"a": ("F32", [2], 4, 12)}, bytes(12)), "invalid offset"),
        (file_of({"a": ("F32", [2], 0, 8)}, bytes(4)), "not fully covered"),
        (file_of({"a": ("F32", [2**40], 0, 2**42)}, bytes(4)), "not fully covered"),
        (file_of({"a": ("F32", [2**62, 2**62], 0, 8)}, bytes(8)), "overflow"),
        (file_of({"a": ("F32", [3], 0, 8)}, bytes(8)), "shape, data type, or offset"),
        (file_of({"a": ("F99", [2], 0, 8)}, bytes(8)), "unknown variant"),
        ((2**60).to_bytes(8, "little") + b"{}", "header too large"),
        ((10**6).to_bytes(8, "little") + b"[" * 10**6, "invalid JSON"),
    ],
)
def test_headers_that_claim_what_is_not_there(content, cause, tmp_path):
    with pytest.raises(CheckpointError, match=rf"^[^\n]* cannot be read as safetensors: .*{cause}"):
        read(tmp_path, content)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize(
    ("build", "arrays", "name"),
    [
        (satclip, satclip_arrays(np.random.default_rng(0), 3), "layers.0.weight"),
        (satclip, satclip_arrays(np.random.default_rng(0), 3), "last_layer.bias"),
        (geoclip, geoclip_arrays(np.random.default_rng(0)), "LocEnc0.capsule.0.b"),
        (geoclip, geoclip_arrays(np.random.default_rng(0)), "LocEnc0.capsule.1.weight"),
    ],
)
def test_weights_are_floating_point_numbers(build, arrays, name, kind, tmp_path):
    prefix = "nnet." if build is satclip else ""
    named = {prefix + key: np.asarray(array, np.float32) for key, array in arrays.items()}
    build(read(tmp_path, save(named)))
    changed = named | {prefix + name: named[prefix + name].astype(kind)}
    expected = rf"holds {np.dtype(kind)}: expected floating-poin"
    with pytest.raises(CheckpointError, match=expected) as caught:
        build(read(tmp_path, save(changed)))
    assert name.split(".", 1)[1] in str(caught.value)
    for scalar in (np.float32(1), np.zeros((0,), np.float32)):
        with pytest.raises(CheckpointError, match="expected"):
            build(read(tmp_path, save(named | {prefix + name: np.asarray(scalar)})))


def test_a_name_cannot_write_to_the_terminal(tmp_path):
    content = file_of({"a\x1b[2J": ("F32", [1], 0, 4)}, bytes(4))
    with pytest.raises(CheckpointError, match=r"names that can be printed; found 'a\\x1b\[2J'$"):
        read(tmp_path, content)


def test_a_defect_is_named():
    assert defect(np.zeros(2, np.float32)) == ""
    assert defect(np.array([1, np.inf], np.float32)) == "is not finite"
    assert defect(np.zeros(2, np.int32)) == "holds int32: expected floating-point numbers"


def test_reading_safetensors_imports_no_torch(tmp_path):
    """An importable `torch` that is never asked for."""
    arrays = satclip_arrays(np.random.default_rng(0), 3)
    named = {f"nnet.{name}": array.astype(np.float32) for name, array in arrays.items()}
    (tmp_path / "weights.safetensors").write_bytes(save(named))
    (tmp_path / "torch.py").write_text("raise AssertionError('torch was imported')")
    program = (
        "import sys\n"
        "from earth_embed.pretrained.imports import import_weights\n"
        "import_weights('satclip', 'weights.safetensors', 'run')\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'torch']\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=300)


@settings(max_examples=60)
@given(
    content=st.binary(max_size=40)
    | st.tuples(st.integers(0, len(VALID) - 1), st.binary(max_size=9)).map(
        lambda change: VALID[: change[0]] + change[1] + VALID[change[0] + len(change[1]) :]
    )
)
def test_a_damaged_file_is_refused_or_read(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "weights.safetensors"
    path.write_bytes(content)
    try:
        assert isinstance(read_weights(path), Weights)
    except CheckpointError as error:
        assert str(error).startswith(f"{path} cannot be read as safetensors: ")  # noqa: PT017


NUMBERS = np.random.default_rng(0).integers(0, 256, 64, np.uint8).tobytes()
KINDS = {**{kind: np.dtype(stored).itemsize for kind, stored in TYPES.items()}, **OTHERS}
LENGTHS = st.integers(0, 8) | st.sampled_from([2**31, 2**62, 2**64 - 1])


@st.composite
def safetensors_files(draw):
    """Files of one to three tensors: often sound, often with a false claim."""
    entries, start = {}, 0
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3)):
        kind = draw(st.sampled_from(sorted(KINDS)))
        shape = draw(st.lists(st.integers(1, 3), max_size=2) | st.lists(LENGTHS, max_size=3))
        size = KINDS[kind] * int(np.prod(shape, dtype=float)) if max(shape, default=0) < 9 else 8
        first, last = start, start + size
        entries[name] = (kind, shape, first, last)
        start = last
    if draw(st.integers(0, 2)) == 0:
        name = draw(st.sampled_from(sorted(entries)))
        kind, shape, first, last = entries[name]
        wrong = draw(LENGTHS | st.integers(-2, 64))
        entries[name] = (kind, shape, *draw(st.sampled_from([(wrong, last), (first, wrong)])))
    size = max(0, start + draw(st.sampled_from([0, 0, 0, 0, -1, 1])))
    return file_of(entries, (NUMBERS * (1 + size // 64))[:size])


@fuzz(500, content=safetensors_files())
def test_any_header_is_read_as_the_package_reads_it_or_refused(content, tmp_path_factory):
    try:
        found = read(tmp_path_factory.getbasetemp(), content).arrays
    except CheckpointError as error:
        assert "weights.safetensors" in str(error)  # noqa: PT017
        return
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    assert set(found) == set(header)
    for name, entry in header.items():
        if entry["dtype"] == "BF16":
            first, last = (start + offset for offset in entry["data_offsets"])
            stored = np.frombuffer(content[first:last], ml_dtypes.bfloat16)
            expected = stored.reshape(entry["shape"]).astype(np.float32)
        elif any(each["dtype"] == "BF16" for each in header.values()):
            continue  # the package reads all tensors or none
        else:
            expected = load(content)[name]
            if expected.dtype.kind == "f":
                with np.errstate(over="ignore", invalid="ignore"):
                    expected = expected.astype(np.float32)
        np.testing.assert_array_equal(found[name], expected, strict=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.safetensors", "no file of weights '.*no.safetensors'"),
        ("weights.npz", r"expected a file \.safetensors, \.pt, \.pth, \.ckpt; found '\.npz'"),
    ],
)
def test_no_file_of_weights(name, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path / name)


@pytest.mark.parametrize(("package", "suffix"), [("safetensors", ".safetensors"), ("torch", ".pt")])
def test_a_missing_package_is_named_with_its_extra(package, suffix, tmp_path, monkeypatch):
    path = tmp_path / f"weights{suffix}"
    path.touch()
    monkeypatch.setitem(sys.modules, package, None)
    extra = {"safetensors": "import", "torch": "torch"}[package]
    message = rf"needs the package '{package}': pip install \"earth-embed\[{extra}\]\""
    with pytest.raises(EarthEmbedError, match=message):
        read_weights(path)


def test_names_below_the_first_prefix_that_occurs():
    arrays = {"a.x": np.ones(1), "a.y": np.zeros(1), "b.x": np.ones(2)}
    weights = Weights("file.pt", arrays)
    assert weights.below(["c.", "b.", "a."]) == {"x": arrays["b.x"]}
    assert list(weights.below(["a."])) == ["x", "y"]
    with pytest.raises(
        CheckpointError, match=r"file.pt: expected weights called c\.… or d\.…; found a\.x, a"
    ):
        weights.below(["c.", "d."])
    with pytest.raises(CheckpointError, match="found none"):
        Weights("file.pt", {}).below(["c."])


def test_the_packaged_weights_are_found_without_an_import(tmp_path, monkeypatch, capsys):
    class Installed:
        def locate_file(self, path):
            return tmp_path / path

    monkeypatch.setattr(metadata, "distribution", lambda name: {"geoclip": Installed()}[name])
    assert packaged_weights() == tmp_path / "geoclip/model/weights/location_encoder_weights.pth"

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    for kind, message in [
        ("geoclip", "that carries one: pip install --no-deps geoclip"),
        ("satclip", "import satclip expects a file of weights"),
    ]:
        with pytest.raises(SystemExit):
            main(["import", kind])
        assert message in capsys.readouterr().err
