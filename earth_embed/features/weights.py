"""Published weights of frozen encoders: the names of torchvision, timm and transformers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from earth_embed.encoders.frozen import FrozenEncoder
from earth_embed.encoders.frozen.published import Params
from earth_embed.importing.layouts import LAYOUTS, Layout
from earth_embed.importing.weights import Weights, read_weights
from earth_embed.training.checksums import sha256

PREFIXES = (
    *("", "backbone.", "model.backbone.", "module.backbone."),
    *("module.encoder_q.", "encoder_q.", "module.base_encoder.", "base_encoder."),
    *("bert.", "0.auto_model.", "encoder.", "module.", "model."),
)
"""What may stand before every name. Where there is one, what does not have it is another network
of the checkpoint, such as MoCo's momentum encoder, queue and predictor, and is left out."""

COUNTERS = r"num_batches_tracked$|position_ids$"
"""Buffers that no forward pass reads."""


@dataclass(frozen=True)
class FrozenWeights:
    """The parameters of a frozen encoder, and which file they are.

    Attributes:
        params: The encoder's tree of float32 arrays.
        sha256: Of the file's bytes.
    """

    params: Params
    sha256: str


def read_frozen(encoder: FrozenEncoder, path: Path) -> FrozenWeights:
    """Reads the weights of a frozen encoder.

    Args:
        encoder: The encoder, for its shapes.
        path: A safetensors or torch file; see `read_weights`. Prefixes are those of PREFIXES;
            classifiers, projectors and other towers are left out.

    Raises:
        CheckpointError: the file cannot be read or has another layout; or arrays are missing, not
            finite, unexpected or of other shapes: the message names all of them.
        EarthEmbedError: the package that reads it is missing.
    """
    weights = read_weights(Path(path))
    layout = LAYOUTS[type(encoder.module)]
    arrays = _split_attention(_arrays(weights, layout))
    faults, params = [], {}
    for name, (our_path, theirs) in expected_arrays(encoder).items():
        array = arrays.pop(name, None)
        if array is None:
            faults.append(f"{name} is missing: expected shape {theirs}")
            continue
        while array.ndim > len(theirs) and len(array) == 1:  # timm's tokens and positions
            array = array[0]
        if array.shape != theirs:
            faults.append(f"{name}: expected shape {theirs}, found {array.shape}")
        elif not np.isfinite(array).all():
            faults.append(f"{name} is not finite")
        else:
            params[our_path] = _as_ours(our_path, array)
    ignored = re.compile(f"{layout.ignored}|.*({COUNTERS})")
    faults += [
        f"{name} is unexpected: found shape {array.shape}"
        for name, array in arrays.items()
        if not ignored.match(name)
    ]
    if faults:
        raise weights.error("\n  ".join([f"expected the weights of {layout.what}", *faults]))
    return FrozenWeights(unflatten_dict(params), sha256(weights.path))


def expected_arrays(
    encoder: FrozenEncoder,
) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """Of each array that a file must hold: name → (path among our parameters, shape in the file).

    PyTorch has outputs first: (out, in) of a dense layer, (out, in, H, W) of a convolution.
    """
    expected = {}
    for path, leaf in flatten_dict(encoder.shapes()).items():
        name, shape = "/".join(path), leaf.shape
        for pattern, replacement in LAYOUTS[type(encoder.module)].names:
            name = re.sub(pattern, replacement, name)
        if path[-1] == "kernel":
            shape = (shape[-1], shape[-2], *shape[:-2])
        expected[name] = path, shape
    return expected


def _arrays(weights: Weights, layout: Layout) -> dict[str, np.ndarray]:
    """The arrays of the layout, without the prefix of their names."""
    for prefix in PREFIXES:
        if prefix + layout.anchor in weights.arrays:
            return weights.below((prefix,))
    others = [
        other.what
        for other in LAYOUTS.values()
        if any(prefix + other.anchor in weights.arrays for prefix in PREFIXES)
    ]
    names = ", ".join([*weights.arrays][:4]) or "no array"
    found = " and ".join(others) or f"an unknown layout ({names}, …)"
    raise weights.error(f"expected {layout.what} ({layout.anchor}, …); found {found}")


def _split_attention(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The joint layer of queries, keys and values, as timm has it, as three."""
    parts: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        before, joint, kind = name.rpartition(".attn.qkv.")
        if joint and array.ndim and len(array) % 3 == 0:
            thirds = zip(("query", "key", "value"), np.split(array, 3), strict=True)
            parts |= {f"{before}.attn.{part}.{kind}": third for part, third in thirds}
        else:
            parts[name] = array
    return parts


def _as_ours(path: tuple[str, ...], array: np.ndarray) -> np.ndarray:
    """PyTorch's array as Flax has it."""
    if path[-1] != "kernel":
        return array
    return np.ascontiguousarray(array.transpose(*range(2, array.ndim), 1, 0))
