"""Frozen encoders beside timm and transformers: small models of their classes, random weights."""

import math

import jax
import numpy as np
import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from timm.models.resnet import BasicBlock, Bottleneck
from timm.models.resnet import ResNet as TimmResNet

from earth_embed.features.frozen import PUBLISHED, FrozenEncoder
from earth_embed.features.inputs import ImageInput, TextInput
from earth_embed.features.transformer import Blocks, ClipText, SentenceEncoder
from earth_embed.features.vision import ClipImage, ResNet, VisionTransformer
from earth_embed.features.weights import expected_arrays, read_frozen

CHIPS = ImageInput(32, 32, (0.0,) * 13, (10_000.0,) * 13)
TOLERANCE = 1e-5
"""Of the largest feature: float32 on both sides."""

CLIP = {"hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2}
CLIP |= {"num_attention_heads": 3, "projection_dim": 7}


def randomised(model):
    """The model with every parameter and statistic away from where it starts."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, array in model.state_dict().items():
            if array.is_floating_point():
                noise = torch.randn(array.shape, generator=generator)
                scale = math.sqrt(1 / array[0].numel()) if array.ndim > 1 else 0.3
                start = 1 if name.endswith("running_var") else array if array.ndim == 1 else 0
                value = start + scale * noise
                array.copy_(value.abs() + 0.1 if name.endswith("running_var") else value)
    return model.eval()


def ours(encoder, model, samples, path, prefix=""):
    """Our features of the model's weights, by a file on disk."""
    save_file({prefix + k: v.contiguous() for k, v in model.state_dict().items()}, path)
    return jax.jit(encoder.features)(read_frozen(encoder, path).params, samples)


def check(found, expected):
    expected = expected.numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.fixture
def weights(tmp_path):
    return tmp_path / "weights.safetensors"


@pytest.fixture
def chips(rng):
    """Sentinel-2 as stored, and as PyTorch reads it."""
    stored = rng.integers(0, 8000, (3, 32, 32, 13)).astype(np.uint16)
    return stored, torch.tensor(stored.astype(np.float32) / 10_000).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("block", "counts", "prefix"),
    [(BasicBlock, (1, 2, 1, 1), "module.encoder_q."), (Bottleneck, (2, 1, 1, 1), "")],
)
def test_resnet(block, counts, prefix, chips, weights):
    model = randomised(TimmResNet(block, counts, num_classes=0, in_chans=13))
    module = ResNet(counts, bottleneck=block is Bottleneck)
    encoder = FrozenEncoder(module, CHIPS, model.num_features)
    with torch.no_grad():
        check(ours(encoder, model, chips[0], weights, prefix), model(chips[1]))


@pytest.mark.parametrize(
    ("pool", "theirs", "prefix"), [("token", "token", "module.base_encoder."), ("mean", "avg", "")]
)
def test_vision_transformer(pool, theirs, prefix, chips, weights):
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
    model = timm.models.VisionTransformer(
        **sizes, in_chans=13, num_classes=0, global_pool=theirs, fc_norm=False
    )
    module = VisionTransformer(Blocks(24, 2, 3), patch=8, pool=pool)
    encoder = FrozenEncoder(module, CHIPS, 24)
    with torch.no_grad():
        check(ours(encoder, randomised(model), chips[0], weights, prefix), model(chips[1]))


def test_clip_image(rng, weights):
    config = transformers.CLIPVisionConfig(**CLIP, image_size=28, patch_size=7)
    model = randomised(transformers.CLIPVisionModelWithProjection(config))
    module = ClipImage(Blocks(24, 2, 3, 1e-5, gelu="quick"), patch=7, features=7)
    encoder = FrozenEncoder(module, ImageInput(28, 28, (0.0,) * 3, (1.0,) * 3), 7)
    images = rng.normal(size=(3, 28, 28, 3)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.tensor(images).permute(0, 3, 1, 2)).image_embeds
    check(ours(encoder, model, images, weights), expected)


def test_clip_text(rng, weights):
    special = {"bos_token_id": 58, "eos_token_id": 59, "pad_token_id": 59}
    config = transformers.CLIPTextConfig(
        **CLIP, **special, vocab_size=60, max_position_embeddings=12
    )
    model = randomised(transformers.CLIPTextModelWithProjection(config))
    module = ClipText(Blocks(24, 2, 3, 1e-5, gelu="quick"), 60, length=12, end=59, features=7)
    encoder = FrozenEncoder(module, TextInput(12, 60), 7)
    tokens = rng.integers(1, 58, (4, 10)).astype(np.int32)
    for row, end in enumerate((9, 2, 5, 7)):
        tokens[row, end:] = [59] + [0] * (9 - end)
    with torch.no_grad():
        expected = model(torch.tensor(tokens).long()).text_embeds
    check(ours(encoder, model, tokens, weights), expected)


def test_sentence_encoder(rng, weights):
    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=24,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=3,
        max_position_embeddings=16,
    )
    model = randomised(transformers.BertModel(config))
    module = SentenceEncoder(Blocks(24, 2, 3, 1e-12, "after"), 60, length=16)
    encoder = FrozenEncoder(module, TextInput(12, 60), 24)
    tokens = rng.integers(1, 60, (4, 10)).astype(np.int32)
    for row, end in enumerate((10, 2, 5, 7)):
        tokens[row, end:] = 0
    mask = torch.tensor(tokens != 0).long()
    with torch.no_grad():
        states = model(torch.tensor(tokens).long(), attention_mask=mask).last_hidden_state
    mean = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    expected = torch.nn.functional.normalize(mean, dim=1)
    check(ours(encoder, model, tokens, weights), expected)


MODELS = {
    "resnet18_sentinel2": lambda: timm.create_model("resnet18", num_classes=0, in_chans=13),
    "resnet50_imagenet": lambda: timm.create_model("resnet50", num_classes=0),
    "vit_s16_sentinel2": lambda: timm.create_model(
        "vit_small_patch16_224", num_classes=0, in_chans=13
    ),
    "clip_vit_l14_image": lambda: transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            patch_size=14,
            projection_dim=768,
        )
    ),
    "clip_vit_l14_text": lambda: transformers.CLIPTextModelWithProjection(
        transformers.CLIPTextConfig(
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            projection_dim=768,
        )
    ),
    "minilm_l6": lambda: transformers.BertModel(
        transformers.BertConfig(
            hidden_size=384, intermediate_size=1536, num_hidden_layers=6, num_attention_heads=12
        ),
        add_pooling_layer=False,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_published_sizes(name):
    """The published models in full, as names and shapes: nothing is allocated on either side."""
    with torch.device("meta"):
        arrays = MODELS[name]().state_dict()
    theirs = {}
    for key, array in arrays.items():
        shape = tuple(array.shape)
        if ".attn.qkv." in key:
            split = (shape[0] // 3, *shape[1:])
            theirs |= {key.replace("qkv", part): split for part in ("query", "key", "value")}
        elif key in ("cls_token", "pos_embed"):
            theirs[key] = shape[2:] if key == "cls_token" else shape[1:]
        elif not key.endswith("num_batches_tracked"):
            theirs[key] = shape
    assert {k: shape for k, (_, shape) in expected_arrays(PUBLISHED[name]).items()} == theirs
