"""Torch files: weights-only loading, and one clear error for everything else."""

import argparse
import io
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import save_file

from earth_embed.errors import CheckpointError
from earth_embed.torchfiles import MAX_SHARING, read_weights
from tests.fuzzing import fuzz

TENSORS = {
    "a": torch.arange(6, dtype=torch.float64).reshape(2, 3) / 3,
    "b": torch.nn.Parameter(torch.ones(2)),
    "c": torch.ones(3, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
@pytest.mark.parametrize("lightning", [False, True])
def test_what_is_read(suffix, lightning, tmp_path):
    path = tmp_path / f"weights{suffix}"
    settings = {"legendre_polys": 10, "le_type": "sphericalharmonics"}
    checkpoint = {"epoch": 1, "state_dict": TENSORS, "hyper_parameters": settings}
    torch.save(checkpoint if lightning else TENSORS, path)
    found = read_weights(path)
    assert found.settings == (settings if lightning else {})
    assert list(found.arrays) == ["a", "b", "c"]
    assert {array.dtype for array in found.arrays.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found.arrays["a"], TENSORS["a"].float())


class Code:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_code_in_a_file_is_never_run(tmp_path):
    path, trace = tmp_path / "weights.ckpt", tmp_path / "trace"
    torch.save({"state_dict": TENSORS, "callbacks": Code(f"touch {trace}")}, path)
    with pytest.raises(CheckpointError, match=r"weights\.ckpt is refused: it holds more than tens"):
        read_weights(path)
    path.write_bytes(pickle.dumps(Code(f"touch {trace}"), protocol=2))
    with pytest.raises(CheckpointError, match="is refused"):
        read_weights(path)
    assert not trace.exists()


def test_the_advice_of_a_refusal_works(tmp_path, monkeypatch):
    path = tmp_path / "weights.ckpt"
    torch.save({"state_dict": TENSORS, "hyper_parameters": argparse.Namespace(a=1)}, path)
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    monkeypatch.chdir(tmp_path)
    exec("\n".join(line.strip() for line in str(caught.value).splitlines()[1:]), {})
    found = read_weights(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(found.arrays["a"], TENSORS["a"].float())


def test_damaged_and_other_files(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(TENSORS, path)
    whole = path.read_bytes()
    for content in (b"", b"weights", whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"weights\.pt (is refused|cannot be read)"):
            read_weights(path)
    torch.save([torch.ones(2)], path)
    with pytest.raises(CheckpointError, match="expected a dictionary of tensors; found list"):
        read_weights(path)
    save_file({"a": torch.ones(2)}, path)  # safetensors by another name
    with pytest.raises(CheckpointError, match=r"weights\.pt (is refused|cannot be read)"):
        read_weights(path)


def quantised():
    with warnings.catch_warnings(action="ignore"):  # torch announces the end of quantised tensors
        return torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8)


UNUSUAL = {
    "complex": (
        lambda: torch.ones(2, 3, dtype=torch.complex64),
        r"torch\.complex64 of shape \(2, 3",
    ),
    "8 bits": (lambda: torch.ones(2, 3).to(torch.float8_e4m3fn), r"torch\.float8_e4m3fn of shape"),
    "sparse": (lambda: torch.eye(3).to_sparse(), r"torch\.float32, torch\.sparse_coo, on cpu"),
    "rows": (lambda: torch.eye(3).to_sparse_csr(), r"torch\.float32, torch\.sparse_csr, on cpu"),
    "quantised": (quantised, r"torch\.qint8, quantised, on cpu"),
    "meta": (lambda: torch.ones(2, 3, device="meta"), r"torch\.float32, torch\.strided, on meta"),
    "stretched": (
        lambda: torch.ones(1).expand(2**40),
        r"shape \(1099511627776,\) of 4,398,046,511,104 bytes in memory of 4$",
    ),
    "overlapping": (
        lambda: torch.ones(8).as_strided((5, 4), (1, 1)),
        r"shape \(5, 4\) of 80 bytes in memory of 32$",
    ),
}


@pytest.mark.filterwarnings("ignore:.*(Sparse|quantiz|TypedStorage|deprecated)")
@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_tensors_are_refused_by_name(kind, tmp_path):
    make, found = UNUSUAL[kind]
    path = tmp_path / "weights.pt"
    torch.save(TENSORS | {"odd.weight": make()}, path)
    with pytest.raises(
        CheckpointError, match=rf"expected 'odd\.weight' in full, .*; found {found}"
    ):
        read_weights(path)


def test_layouts_that_hold_all_their_numbers_are_read(tmp_path):
    path, square = tmp_path / "weights.pt", torch.arange(12.0).reshape(3, 4)
    tensors = {
        "turned": square.T,
        "part": square[:, 1:3],
        "negated": torch._neg_view(square),
        "steps": torch.tensor(7),
        "mask": torch.tensor([True, False]),
    }
    torch.save(tensors, path)
    found = read_weights(path).arrays
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.resolve_neg().numpy(), strict=True)
        assert found[name].base is None  # in memory, whatever becomes of the file


def test_a_small_file_cannot_claim_much_memory(tmp_path):
    path, large = tmp_path / "weights.pt", torch.zeros(2**16)
    shared = {str(number): large.view(-1) for number in range(MAX_SHARING)}
    torch.save(shared, path)
    assert len(read_weights(path).arrays) == MAX_SHARING
    torch.save(shared | {"one": large.view(-1), "more": large.view(-1)}, path)
    with pytest.raises(CheckpointError, match=r"at most 4 times the file's .*; found 1,572,864"):
        read_weights(path)


def test_a_compressed_file_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(2**20)}, path)
    with zipfile.ZipFile(path) as stored:
        members = {info.filename: stored.read(info) for info in stored.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, content in members.items():
            bomb.writestr(name, content)
    with pytest.raises(CheckpointError, match=r"uncompressed members; found '.*' of .* claims "):
        read_weights(path)


def test_a_tensor_cannot_reach_beyond_the_file(tmp_path):
    """Its pickle claims two numbers, then a million, of a member that holds two."""
    path = tmp_path / "weights.pt"
    for claimed in (2, 10**6):
        storage = torch.zeros(claimed).untyped_storage()
        torch.save({"a": torch.zeros(claimed).set_(storage, 0, (claimed,))}, path)
        with zipfile.ZipFile(path) as whole:
            members = {info.filename: whole.read(info) for info in whole.infolist()}
        with zipfile.ZipFile(path, "w") as cut:
            for name, content in members.items():
                cut.writestr(name, content[:8] if name.endswith("/data/0") else content)
        if claimed == 2:
            assert read_weights(path).arrays["a"].shape == (2,)
        else:
            with pytest.raises(CheckpointError, match=r"cannot be read as a torch file: .*resiz"):
                read_weights(path)


def test_only_plain_hyperparameters_are_kept(tmp_path):
    path = tmp_path / "weights.ckpt"
    settings = {"legendre_polys": 10, "le_type": "x", "list": [1], "tensor": torch.ones(3)}
    torch.save({"state_dict": TENSORS, "hyper_parameters": settings}, path)
    assert read_weights(path).settings == {"legendre_polys": 10, "le_type": "x"}


def saved(tensors, zipped):
    file = io.BytesIO()
    torch.save(tensors, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


WHOLE = {zipped: saved(TENSORS, zipped) for zipped in (False, True)}


@fuzz(
    300,
    zipped=st.booleans(),
    edits=st.lists(
        st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3
    ),
    cut=st.none() | st.integers(0, 4000),
)
def test_a_damaged_torch_file_is_arrays_or_one_error(zipped, edits, cut, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.pt"
    content = bytearray(WHOLE[zipped])
    for place, new in edits:
        place %= len(content)
        content[place : place + len(new)] = new
    path.write_bytes(content[:cut])
    try:
        found = read_weights(path)
    except CheckpointError as error:
        assert "damaged.pt" in str(error)  # noqa: PT017
        return
    for array in found.arrays.values():
        assert array.dtype == np.float32 or array.dtype.kind in "iub"
        assert array.nbytes <= 2 * MAX_SHARING * len(content)
