"""The frozen encoders by name: their architectures, inputs, output sizes and publications.

    encoder = PUBLISHED["resnet50_sentinel2"]
    encoder.features(params, chips)  # (N, 2048) float32

`features.weights` reads the weights; `docs/pages/how-to/frozen_encoders.md` says where they are
published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.features.inputs import ImageInput, TextInput
from earth_embed.features.transformer import Blocks, ClipText, SentenceEncoder
from earth_embed.features.vision import ClipImage, ResNet, VisionTransformer

Params: TypeAlias = Any
"""An encoder's parameters, including the statistics of its batch norms."""


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder whose parameters never change: the network, its input, its number of features."""

    module: nn.Module
    input: ImageInput | TextInput
    dim: int

    def features(self, params: Params, samples: jax.Array) -> jax.Array:
        """Features (N, dim) float32 of stored images or tokens (N, ...), without a gradient.

        Raises:
            DataError: the samples are not what the encoder reads.
        """
        # Stopping the gradient at the input saves the backward pass through the encoder.
        params, samples = jax.lax.stop_gradient((params, self.input.prepare(samples)))
        return jnp.asarray(self.module.apply({"params": params}, samples))

    def shapes(self) -> Params:
        """The shapes of the parameters, without computing or allocating them."""
        variables = jax.eval_shape(self.module.init, jax.random.key(0), self.input.example)
        return variables["params"]


_SENTINEL2 = ImageInput(224, 256, (0.0,) * 13, (10_000.0,) * 13)
_IMAGENET = ImageInput(224, 256, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_HALF = ImageInput(224, 248, (127.5,) * 3, (127.5,) * 3, "cubic")
_CLIP = ImageInput(
    224,
    224,
    (122.7709383, 116.7460125, 104.09373615),
    (68.5005327, 66.6321579, 70.32316305),
    "cubic",
)

_RESNET18 = ResNet((2, 2, 2, 2), bottleneck=False)
_RESNET50 = ResNet((3, 4, 6, 3), bottleneck=True)
_VIT_S16 = VisionTransformer(Blocks(384, 12, 6), patch=16)

PUBLISHED: dict[str, FrozenEncoder] = {
    "resnet18_sentinel2": FrozenEncoder(_RESNET18, _SENTINEL2, 512),
    "resnet50_sentinel2": FrozenEncoder(_RESNET50, _SENTINEL2, 2048),
    "vit_s16_sentinel2": FrozenEncoder(_VIT_S16, _SENTINEL2, 384),
    "resnet18_imagenet": FrozenEncoder(_RESNET18, _IMAGENET, 512),
    "resnet50_imagenet": FrozenEncoder(_RESNET50, _IMAGENET, 2048),
    "vit_s16_imagenet": FrozenEncoder(_VIT_S16, _HALF, 384),
    "clip_vit_l14_image": FrozenEncoder(
        ClipImage(Blocks(1024, 24, 16, 1e-5, gelu="quick"), patch=14, features=768),
        _CLIP,
        768,
    ),
    "clip_vit_l14_text": FrozenEncoder(
        ClipText(
            Blocks(768, 12, 12, 1e-5, gelu="quick"),
            vocabulary=49_408,
            length=77,
            end=49_407,
            features=768,
        ),
        TextInput(77, 49_408),
        768,
    ),
    "minilm_l6": FrozenEncoder(
        SentenceEncoder(Blocks(384, 6, 12, 1e-12, "after"), vocabulary=30_522, length=512),
        TextInput(256, 30_522),
        384,
    ),
}
