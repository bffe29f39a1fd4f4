"""Small frozen encoders, for this process's tests and for the processes that they start."""

from earth_embed.features.frozen import FrozenEncoder
from earth_embed.features.inputs import ImageInput, TextInput
from earth_embed.features.transformer import Blocks, SentenceEncoder
from earth_embed.features.vision import ResNet

SMALL = {
    "small": FrozenEncoder(
        ResNet((1,), bottleneck=False, width=4), ImageInput(8, 8, (9.0,) * 3, (50.0,) * 3), 4
    ),
    "words": FrozenEncoder(
        SentenceEncoder(Blocks(8, 1, 2, 1e-12, "after"), 6, 9), TextInput(9, 6), 8
    ),
}
