"""Reads files of weights into arrays, without running code from them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from earth_embed.errors import CheckpointError, require

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes:
        path: The file.
        arrays: Name → float32 array (float64 is rounded).
        settings: Lightning's hyperparameters; empty for other files.
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


def read_weights(path: Path) -> Weights:
    """Reads a safetensors file, or a torch file with `weights_only=True`.

    Args:
        path: The file. A torch file is a dictionary of tensors, or a Lightning checkpoint with
            one under "state_dict".

    Raises:
        CheckpointError: the file is missing, of another kind or damaged, or holds more than
            weights and plain values.
        EarthEmbedError: the package that reads it is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CheckpointError(f"{path}: expected a file {', '.join(SUFFIXES)}; found {suffix!r}")
    if not path.is_file():
        raise CheckpointError(f"no file of weights {str(path)!r}")
    return _read_safetensors(path) if suffix == ".safetensors" else _read_torch(path)


def _read_safetensors(path: Path) -> Weights:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise require("safetensors", "import", f"reading {path}") from error
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    with np.errstate(over="ignore"):  # becomes infinite, which the reader refuses
        return Weights(path, {name: array.astype(np.float32) for name, array in arrays.items()})


def _read_torch(path: Path) -> Weights:
    try:
        import torch
    except ImportError as error:
        raise require("torch", "import", f"reading {path}") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path)) from error
    except (OSError, RuntimeError, EOFError, KeyError, ValueError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be read as a torch file: {cause}") from error
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise CheckpointError(f"{path}: expected a dictionary of tensors; found {kind}")
    tensors, settings = content.get("state_dict", content), content.get("hyper_parameters", {})
    if not isinstance(tensors, Mapping) or not isinstance(settings, Mapping):
        raise CheckpointError(f"{path}: expected dictionaries state_dict and hyper_parameters")
    arrays = {
        name: tensor.detach().to(torch.float32).numpy()
        for name, tensor in tensors.items()
        if isinstance(name, str) and isinstance(tensor, torch.Tensor)
    }
    return Weights(path, arrays, dict(settings))


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
