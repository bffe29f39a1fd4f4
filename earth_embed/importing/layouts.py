"""How torchvision, timm and transformers name the arrays of their encoders."""

from __future__ import annotations

from dataclasses import dataclass

import flax.linen as nn

from earth_embed.encoders.frozen.resnet import ResNet
from earth_embed.encoders.frozen.text import ClipText, SentenceEncoder
from earth_embed.encoders.frozen.vision import ClipImage, VisionTransformer


@dataclass(frozen=True)
class Layout:
    """How a family of files names its arrays.

    Attributes:
        what: Whose layout it is.
        anchor: An array that this layout alone has.
        names: Patterns of our paths, such as stack/block_0/up/kernel, and their names; in turn.
        ignored: Pattern of the names, from their start, of heads and of other towers.
    """

    what: str
    anchor: str
    names: tuple[tuple[str, str], ...]
    ignored: str


_LEAVES = ((r"(kernel|scale)$", "weight"), ("/", "."))


def _clip(tower: str, *names: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The names of one of CLIP's towers, which differ in their embeddings alone."""
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
