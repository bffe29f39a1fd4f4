"""Files of frozen encoders: every layout is found, and every fault is named at once."""

import hashlib

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from earth_embed.errors import CheckpointError
from earth_embed.features.frozen import FrozenEncoder
from earth_embed.features.inputs import ImageInput, TextInput
from earth_embed.features.transformer import Blocks, ClipText, SentenceEncoder
from earth_embed.features.vision import ClipImage, ResNet, VisionTransformer
from earth_embed.features.weights import expected_arrays, read_frozen

PIXELS = ImageInput(16, 16, (0.0,) * 3, (1.0,) * 3)
BLOCKS = Blocks(8, 2, 2)
ENCODERS = {
    "resnet": FrozenEncoder(ResNet((1, 2), bottleneck=True, width=4), PIXELS, 32),
    "vit": FrozenEncoder(VisionTransformer(BLOCKS, 8), PIXELS, 8),
    "clip image": FrozenEncoder(ClipImage(BLOCKS, 8, 5), PIXELS, 5),
    "clip text": FrozenEncoder(ClipText(BLOCKS, 20, 9, 19, 5), TextInput(9, 20), 5),
    "sentence": FrozenEncoder(SentenceEncoder(BLOCKS, 20, 9), TextInput(9, 20), 8),
}
# One name of each family, as PyTorch prints it, and where it belongs.
NAMES = {
    "resnet": ("layer2.0.downsample.1.running_var", ("layer2_0", "downsample_1", "var")),
    "vit": ("blocks.1.mlp.fc2.weight", ("stack", "block_1", "down", "kernel")),
    "clip image": (
        "vision_model.encoder.layers.1.self_attn.q_proj.weight",
        ("stack", "block_1", "query", "kernel"),
    ),
    "clip text": ("text_model.final_layer_norm.weight", ("norm", "scale")),
    "sentence": (
        "encoder.layer.1.attention.output.LayerNorm.bias",
        ("stack", "block_1", "norm_1", "bias"),
    ),
}
HEADS = {
    "resnet": ("fc.weight", "layer1.0.bn1.num_batches_tracked"),
    "vit": ("head.weight", "head.0.bias"),
    "clip image": ("text_model.final_layer_norm.weight", "logit_scale"),
    "clip text": ("visual_projection.weight", "text_model.embeddings.position_ids"),
    "sentence": ("pooler.dense.weight", "embeddings.position_ids"),
}


@pytest.fixture
def arrays(rng):
    """Random arrays of a layout, by name."""

    def make(name):
        shapes = expected_arrays(ENCODERS[name]).items()
        return {k: rng.normal(size=shape).astype(np.float32) for k, (_, shape) in shapes}

    return make


@pytest.fixture
def write(tmp_path):
    def write(arrays, prefix=""):
        path = tmp_path / "weights.safetensors"
        save_file({prefix + k: np.ascontiguousarray(v) for k, v in arrays.items()}, path)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("resnet", "module.encoder_q."),
        ("resnet", "backbone."),
        ("vit", "module.base_encoder."),
        ("vit", ""),
        ("clip image", ""),
        ("clip text", ""),
        ("sentence", "bert."),
    ],
)
def test_every_array_arrives(name, prefix, arrays, write):
    encoder, content = ENCODERS[name], arrays(name)
    heads = {head: np.ones(3, np.float32) for head in HEADS[name]}
    path = write(content | heads, prefix)
    found = read_frozen(encoder, path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), found.params)
    assert shapes == encoder.shapes()
    flat = flatten_dict(found.params)
    for key, (where, _) in expected_arrays(encoder).items():
        assert flat[where].size == content[key].size
        np.testing.assert_array_equal(np.sort(flat[where].ravel()), np.sort(content[key].ravel()))
    theirs, ours = NAMES[name]
    np.testing.assert_array_equal(flat[ours], content[theirs].T)


def test_kernels_have_their_outputs_last(arrays, write):
    content = arrays("resnet")
    flat = flatten_dict(read_frozen(ENCODERS["resnet"], write(content)).params)
    kernel = content["conv1.weight"]  # (out, in, H, W)
    assert flat["conv1", "kernel"][1, 2, 0, 3] == kernel[3, 0, 1, 2]


def test_timm_keeps_queries_keys_and_values_in_one(arrays, write):
    content = arrays("vit")
    joint = dict(content)
    for i in range(2):
        for kind in ("weight", "bias"):
            thirds = [joint.pop(f"blocks.{i}.attn.{k}.{kind}") for k in ("query", "key", "value")]
            joint[f"blocks.{i}.attn.qkv.{kind}"] = np.concatenate(thirds)
    joint |= {"cls_token": joint["cls_token"][None, None], "pos_embed": joint["pos_embed"][None]}
    found = read_frozen(ENCODERS["vit"], write(joint)).params
    apart = read_frozen(ENCODERS["vit"], write(content)).params
    jax.tree.map(np.testing.assert_array_equal, found, apart)


def test_what_lies_beside_a_prefix_is_another_network(arrays, write):
    content = {f"module.encoder_q.{k}": v for k, v in arrays("resnet").items()}
    others = {f"module.encoder_k.{k}": v for k, v in arrays("resnet").items()}
    others |= {"module.queue": np.ones((8, 4), np.float32)}
    found = read_frozen(ENCODERS["resnet"], write(others | content)).params
    expected = content["module.encoder_q.bn1.weight"]
    np.testing.assert_array_equal(found["bn1"]["scale"], expected)


def test_one_error_names_every_fault(arrays, write):
    content = arrays("resnet")
    del content["bn1.bias"]
    content["conv1.weight"] = np.zeros((4, 13, 7, 7), np.float32)
    content["layer3.0.conv1.weight"] = np.zeros((1, 2, 3, 3), np.float32)
    content["bn1.weight"][2] = np.nan
    with pytest.raises(CheckpointError) as caught:
        read_frozen(ENCODERS["resnet"], write(content))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("expected the weights of a ResNet of torchvision or timm")
    assert sorted(line.strip() for line in lines[1:]) == [
        "bn1.bias is missing: expected shape (4,)",
        "bn1.weight is not finite",
        "conv1.weight: expected shape (4, 3, 7, 7), found (4, 13, 7, 7)",
        "layer3.0.conv1.weight is unexpected: found shape (1, 2, 3, 3)",
    ]


@pytest.mark.parametrize("name", ENCODERS)
def test_another_layout_is_recognised(name, arrays, write):
    other = "vit" if name == "resnet" else "resnet"
    with pytest.raises(CheckpointError, match=r"expected .* found a (ResNet|vision transformer)"):
        read_frozen(ENCODERS[name], write(arrays(other)))
    with pytest.raises(CheckpointError, match=r"found an unknown layout \(nnet, …\)"):
        read_frozen(ENCODERS[name], write({"nnet": np.ones(2)}))
