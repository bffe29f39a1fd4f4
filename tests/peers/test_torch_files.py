"""Torch files: weights-only loading, and one clear error for everything else."""

import argparse
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from earth_embed.errors import CheckpointError
from earth_embed.torchfiles import read_weights

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
