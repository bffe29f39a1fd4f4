"""Reads files of weights into arrays, without running code from them."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earth_embed.errors import CheckpointError, require

if TYPE_CHECKING:
    import torch

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")

TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"},
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}
"""Types of safetensors that are read → NumPy's. The others are complex numbers and packed ones of 4
to 8 bits, which mean nothing without scales that are stored elsewhere."""

MAX_SHARING = 4
"""Most bytes of a torch file's tensors, as a multiple of the file's. Tensors may share memory:
SatCLIP's checkpoints hold their network twice. A small file could claim any number of them."""


@dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes:
        path: The file.
        arrays: Name → float32 array (float64 is rounded; float16 and bfloat16 are exact). Integers
            and booleans stay what they are: counters and indices, which no network reads.
        settings: Lightning's hyperparameters that are plain values; empty for other files.
    """

    path: Path
    arrays: dict[str, np.ndarray]
    settings: dict[str, Any] = field(default_factory=dict)

    def below(self, prefixes: Sequence[str]) -> dict[str, np.ndarray]:
        """The arrays under the first prefix that any name has, keyed by the rest of their names.

        Raises:
            CheckpointError: no name has any of the prefixes.
        """
        for prefix in prefixes:
            names = [name for name in self.arrays if name.startswith(prefix)]
            if names:
                return {name.removeprefix(prefix): self.arrays[name] for name in names}
        found = ", ".join([*self.arrays][:6]) + (", …" if len(self.arrays) > 6 else "")
        expected = " or ".join(f"{prefix}…" for prefix in prefixes)
        raise self.error(f"expected weights called {expected}; found {found or 'none'}")

    def error(self, message: str) -> CheckpointError:
        """An error about the file."""
        return CheckpointError(f"{self.path}: {message}")


def defect(array: np.ndarray) -> str:
    """Why an array cannot be weights, as the end of a sentence that begins with its name, or ""."""
    if array.dtype != np.float32:
        return f"holds {array.dtype}: expected floating-point numbers"
    return "" if np.isfinite(array).all() else "is not finite"


def read_weights(path: Path) -> Weights:
    """Reads a safetensors file, or a torch file with `weights_only=True`.

    PyTorch is imported only for a torch file.

    Args:
        path: The file. A torch file is a dictionary of tensors, or a Lightning checkpoint with
            one under "state_dict".

    Raises:
        CheckpointError: the file is missing, of another kind or damaged; it holds more than
            weights and plain values, or a tensor of an unknown type or layout.
        EarthEmbedError: the package that reads it is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CheckpointError(f"{path}: expected a file {', '.join(SUFFIXES)}; found {suffix!r}")
    if not path.is_file():
        raise CheckpointError(f"no file of weights {str(path)!r}")
    weights = _read_safetensors(path) if suffix == ".safetensors" else _read_torch(path)
    if odd := [name for name in weights.arrays if not name.isprintable()]:
        raise weights.error(f"expected names that can be printed; found {odd[0]!r}")
    return weights


def _read_safetensors(path: Path) -> Weights:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise require("safetensors", "import", f"reading {path}") from error
    try:
        # Checks the header: its size, and that the tensors fill the file without gap or overlap.
        # It does not read bfloat16 for NumPy, so the numbers are taken from the file below.
        with safe_open(path, framework="np"):
            content = np.asarray(np.memmap(path, np.uint8, mode="r"))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    body = 8 + int.from_bytes(content[:8].tobytes(), "little")
    header = json.loads(content[8:body].tobytes())
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        found = f"{entry['dtype']} of shape {tuple(entry['shape'])}"
        if entry["dtype"] not in TYPES:
            raise CheckpointError(_unknown(path, name, found))
        first, last = (body + offset for offset in entry["data_offsets"])
        try:
            stored = content[first:last].view(TYPES[entry["dtype"]]).reshape(entry["shape"])
        except ValueError as error:  # NumPy has at most 64 axes, and 2⁶³ bytes
            raise CheckpointError(f"{path}: {name!r} is {found}: {error}") from error
        if entry["dtype"] == "BF16":  # the upper half of a float32
            stored = (stored.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = _as_weights(stored)
    return Weights(path, arrays)


def _as_weights(stored: np.ndarray) -> np.ndarray:
    """A copy in memory, as float32 unless it holds integers."""
    with np.errstate(over="ignore"):  # becomes infinite, which is no weight
        return stored.astype(np.float32 if stored.dtype.kind == "f" else stored.dtype)


def _unknown(path: Path, name: str, found: str) -> str:
    return (
        f"{path}: expected {name!r} in full, of 16, 32 or 64-bit floating-point numbers or of "
        f"integers; found {found}"
    )


def _read_torch(path: Path) -> Weights:
    try:
        import torch
    except ImportError as error:
        raise require("torch", "torch", f"reading {path}") from error
    try:
        zipped = zipfile.is_zipfile(path)
        if zipped:
            _check_members(path)
        # Mapped, a tensor that claims more than its member holds cannot reach beyond the file.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path)) from error
    except Exception as error:  # at damaged files its unpickler raises whatever Python does
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be read as a torch file: {cause}") from error
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise CheckpointError(f"{path}: expected a dictionary of tensors; found {kind}")
    tensors, settings = content.get("state_dict", content), content.get("hyper_parameters", {})
    if not isinstance(tensors, Mapping) or not isinstance(settings, Mapping):
        raise CheckpointError(f"{path}: expected dictionaries state_dict and hyper_parameters")
    tensors = {
        name: tensor
        for name, tensor in tensors.items()
        if isinstance(name, str) and isinstance(tensor, torch.Tensor)
    }
    for name, tensor in tensors.items():
        if found := _unusual(tensor):
            raise CheckpointError(_unknown(path, name, found))
    claimed, size = sum(tensor.nbytes for tensor in tensors.values()), path.stat().st_size
    if claimed > MAX_SHARING * size:
        raise CheckpointError(
            f"{path}: expected tensors of at most {MAX_SHARING} times the file's {size:,} bytes; "
            f"found {claimed:,}"
        )
    arrays = {name: _as_weights(_as_numpy(tensor)) for name, tensor in tensors.items()}
    plain = {k: v for k, v in settings.items() if isinstance(v, str | int | float | None)}
    return Weights(path, arrays, plain)


def _check_members(path: Path) -> None:
    """Raises a CheckpointError if a torch file is compressed, as `torch.save` never does."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise CheckpointError(
                    f"{path}: expected uncompressed members; found {member.filename!r} of "
                    f"{member.compress_size:,} bytes that claims {member.file_size:,}"
                )


def _unusual(tensor: torch.Tensor) -> str:
    """The type and layout of a tensor that is not read, or ""."""
    import torch

    plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested
    if not plain or tensor.device.type != "cpu":
        layout = "quantised" if tensor.is_quantized else str(tensor.layout)
        return f"{tensor.dtype}, {layout}, on {tensor.device}"
    if tensor.is_complex() or (tensor.is_floating_point() and tensor.itemsize < 2):
        return f"{tensor.dtype} of shape {tuple(tensor.shape)}"
    if tensor.nbytes > (held := tensor.untyped_storage().nbytes()):
        return f"shape {tuple(tensor.shape)} of {tensor.nbytes:,} bytes in memory of {held:,}"
    return ""


def _as_numpy(tensor: torch.Tensor) -> np.ndarray:
    import torch

    tensor = tensor.detach().resolve_neg()
    return np.asarray(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)


def _refusal(path: Path) -> str:
    return (
        f"{path} is refused: it holds more than tensors and plain values, or is damaged, and "
        "reading the rest could run any code. Where you trust it, save its tensors alone:\n"
        "  import torch, safetensors.torch\n"
        f"  content = torch.load({path.name!r}, map_location='cpu', weights_only=False)\n"
        "  tensors = content.get('state_dict', content)\n"
        "  tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}\n"
        f"  safetensors.torch.save_file(tensors, {path.with_suffix('.safetensors').name!r})"
    )
