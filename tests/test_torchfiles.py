"""Files of weights: what is read, and what is refused."""

import sys
from importlib import metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from earth_embed.cli import main
from earth_embed.errors import CheckpointError, EarthEmbedError
from earth_embed.pretrained.published import packaged_weights
from earth_embed.torchfiles import Weights, read_weights

VALID = save({"a": np.arange(6, dtype=np.float64).reshape(2, 3) / 3, "b.c": np.ones(2, np.int8)})


def test_arrays_are_float32_whatever_they_were(tmp_path):
    path = tmp_path / "weights.SafeTensors"
    path.write_bytes(VALID)
    found = read_weights(path)
    assert list(found.arrays) == ["a", "b.c"]
    np.testing.assert_array_equal(
        found.arrays["a"], np.arange(6, dtype=np.float32).reshape(2, 3) / 3
    )
    assert {array.dtype for array in found.arrays.values()} == {np.dtype(np.float32)}
    assert found.settings == {}


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
    message = rf"needs the package '{package}': pip install \"earth-embed\[import\]\""
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
