"""Reads published weights of frozen encoders: layouts of torchvision, timm and transformers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from earth_embed.features.frozen import FrozenEncoder, Params
from earth_embed.features.transformer import ClipText, SentenceEncoder
from earth_embed.features.vision import ClipImage, ResNet, VisionTransformer
from earth_embed.files import sha256
from earth_embed.torchfiles import Weights, defect, read_weights


@dataclass(frozen=True)
class Layout:
    """How a family of files names its arrays.

    Attributes:
        what: The layout, for messages.
        anchor: The name of an array that only this layout has.
        names: Substitutions that turn our path, such as stack/block_0/up/kernel, into its name.
        ignored: Pattern of the beginning of names of heads and of other towers.
    """

    what: str
    anchor: str
    names: tuple[tuple[str, str], ...]
    ignored: str


_LEAVES = ((r"(kernel|scale)$", "weight"), ("/", "."))


def _clip(tower: str, *names: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The names of one of CLIP's towers; the towers differ only in their embeddings."""
    block = f"{tower}.encoder.layers"
    return (
        *names,
        *(
            (rf"stack/block_(\d+)/{ours}/", rf"{block}.\1.self_attn.{theirs}_proj/")
            for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "out"))
        ),
        (r"stack/block_(\d+)/norm_", rf"{block}.\1.layer_norm"),
        (r"stack/block_(\d+)/up", rf"{block}.\1.mlp.fc1"),
        (r"stack/block_(\d+)/down", rf"{block}.\1.mlp.fc2"),
        *_LEAVES,
    )


LAYOUTS: dict[type[nn.Module], Layout] = {
    ResNet: Layout(
        "a ResNet of torchvision or timm",
        "layer1.0.conv1.weight",
        (
            (r"(layer\d+)_", r"\1."),
            (r"downsample_", "downsample."),
            (r"(mean|var)$", r"running_\1"),
            *_LEAVES,
        ),
        r"fc\.|head\.",
    ),
    VisionTransformer: Layout(
        "a vision transformer of timm",
        "cls_token",
        (
            ("tokens/class_token", "cls_token"),
            ("tokens/positions", "pos_embed"),
            ("tokens/patch", "patch_embed.proj"),
            (r"stack/block_(\d+)/(query|key|value)", r"blocks.\1.attn.\2"),
            (r"stack/block_(\d+)/out", r"blocks.\1.attn.proj"),
            (r"stack/block_(\d+)/norm_", r"blocks.\1.norm"),
            (r"stack/block_(\d+)/up", r"blocks.\1.mlp.fc1"),
            (r"stack/block_(\d+)/down", r"blocks.\1.mlp.fc2"),
            *_LEAVES,
        ),
        r"head\.|head_drop|fc\.",
    ),
    ClipImage: Layout(
        "CLIP's image tower in transformers",
        "vision_model.embeddings.class_embedding",
        _clip(
            "vision_model",
            ("tokens/class_token", "vision_model.embeddings.class_embedding"),
            ("tokens/positions", "vision_model.embeddings.position_embedding.weight"),
            ("tokens/patch", "vision_model.embeddings.patch_embedding"),
            ("norm_first", "vision_model.pre_layrnorm"),  # its own spelling
            ("^norm/", "vision_model.post_layernorm/"),
            ("^projection", "visual_projection"),
        ),
        r"text_model\.|text_projection\.|logit_scale$",
    ),
    ClipText: Layout(
        "CLIP's text tower in transformers",
        "text_model.embeddings.token_embedding.weight",
        _clip(
            "text_model",
            ("tokens/words", "text_model.embeddings.token_embedding.weight"),
            ("tokens/positions", "text_model.embeddings.position_embedding.weight"),
            ("^norm/", "text_model.final_layer_norm/"),
            ("^projection", "text_projection"),
        ),
        r"vision_model\.|visual_projection\.|logit_scale$",
    ),
    SentenceEncoder: Layout(
        "a BERT of transformers",
        "embeddings.word_embeddings.weight",
        (
            ("tokens/words", "embeddings.word_embeddings.weight"),
            ("tokens/positions", "embeddings.position_embeddings.weight"),
            ("^types", "embeddings.token_type_embeddings.weight"),
            ("norm_first", "embeddings.LayerNorm"),
            (r"stack/block_(\d+)/(query|key|value)", r"encoder.layer.\1.attention.self.\2"),
            (r"stack/block_(\d+)/out", r"encoder.layer.\1.attention.output.dense"),
            (r"stack/block_(\d+)/norm_1", r"encoder.layer.\1.attention.output.LayerNorm"),
            (r"stack/block_(\d+)/norm_2", r"encoder.layer.\1.output.LayerNorm"),
            (r"stack/block_(\d+)/up", r"encoder.layer.\1.intermediate.dense"),
            (r"stack/block_(\d+)/down", r"encoder.layer.\1.output.dense"),
            *_LEAVES,
        ),
        r"pooler\.|cls\.|classifier\.",
    ),
}

PREFIXES = (
    *("", "backbone.", "model.backbone.", "module.backbone."),
    *("module.encoder_q.", "encoder_q.", "module.base_encoder.", "base_encoder."),
    *("bert.", "0.auto_model.", "encoder.", "module.", "model."),
)
"""Prefixes that an encoder's names may have. Names without the prefix belong to other networks of
the checkpoint, such as MoCo's momentum encoder, queue and predictor, and are ignored."""

COUNTERS = r"num_batches_tracked$|position_ids$"
"""Buffers that the forward pass does not read."""


@dataclass(frozen=True)
class FrozenWeights:
    """The parameters of a frozen encoder, and the file's identity.

    Attributes:
        params: The encoder's tree of float32 arrays.
        sha256: SHA-256 of the file.
    """

    params: Params
    sha256: str


def read_frozen(encoder: FrozenEncoder, path: Path) -> FrozenWeights:
    """Reads the weights of a frozen encoder.

    Args:
        encoder: The encoder, for its shapes.
        path: A safetensors or torch file; see `read_weights`. Names may have one of PREFIXES.
            Classifiers, projectors and other towers are ignored.

    Raises:
        CheckpointError: the file cannot be read or has another layout; or arrays are missing, not
            finite, unexpected or of other types or shapes. The message names all of them.
        EarthEmbedError: the package that reads it is missing.
    """
    weights = read_weights(Path(path))
    layout = LAYOUTS[type(encoder.module)]
    arrays = _split_attention(_arrays(weights, layout))
    wrong, params = [], {}
    for name, (our_path, theirs) in expected_arrays(encoder).items():
        array = arrays.pop(name, None)
        if array is None:
            wrong.append(f"{name} is missing: expected shape {theirs}")
            continue
        while array.ndim > len(theirs) and len(array) == 1:  # timm's tokens and positions
            array = array[0]
        if array.shape != theirs:
            wrong.append(f"{name}: expected shape {theirs}, found {array.shape}")
        elif fault := defect(array):
            wrong.append(f"{name} {fault}")
        else:
            params[our_path] = _as_ours(our_path, array)
    ignored = re.compile(f"{layout.ignored}|.*({COUNTERS})")
    wrong += [
        f"{name} is unexpected: found shape {array.shape}"
        for name, array in arrays.items()
        if not ignored.match(name)
    ]
    if wrong:
        raise weights.error("\n  ".join([f"expected the weights of {layout.what}", *wrong]))
    return FrozenWeights(unflatten_dict(params), sha256(weights.path))


def expected_arrays(
    encoder: FrozenEncoder,
) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """The arrays that a file must hold: name → (path among our parameters, shape in the file).

    PyTorch puts outputs first: (out, in) for a dense layer, (out, in, H, W) for a convolution.
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
    """The arrays of the layout, named without their prefix."""
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
    """Splits timm's joint layer of queries, keys and values into three."""
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
    """PyTorch's array in Flax's layout."""
    if path[-1] != "kernel":
        return array
    return np.ascontiguousarray(array.transpose(*range(2, array.ndim), 1, 0))
