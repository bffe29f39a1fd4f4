"""Dense layers of a PyTorch network as the parameters of `Siren` or `Mlp`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from earth_embed.importing.weights import Weights

Layers = dict[str, dict[str, np.ndarray]]
"""{"hidden_0": {"kernel": (in, out), "bias": (out,)}, …, "last": {…}}"""


def dense_layers(
    weights: Weights, arrays: Mapping[str, np.ndarray], names: Sequence[str], inputs: int
) -> Layers:
    """Takes dense layers that follow each other.

    Args:
        weights: The file, for messages.
        arrays: NAME.weight (out, in) and NAME.bias (out,) of each layer, and nothing else.
        names: The layers, first to last.
        inputs: Inputs of the first layer.

    Raises:
        CheckpointError: arrays are missing, unknown, not finite or of shapes that do not fit the
            layer before; the message names all of them.
    """
    expected = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    faults = [f"{name} is missing" for name in expected if name not in arrays]
    faults += [f"{name} is unknown" for name in arrays if name not in expected]
    faults += [f"{k} is not finite" for k, v in arrays.items() if not np.isfinite(v).all()]
    before: tuple[int, ...] = (inputs,)
    for name in names if not faults else ():
        weight, bias = (arrays[f"{name}.{kind}"].shape for kind in ("weight", "bias"))
        if len(bias) != 1 or weight != bias + before:
            faults.append(f"{name} has weight {weight} and bias {bias} after {before[-1]} inputs")
        before = weight[:1]
    if faults:
        raise weights.error("\n  ".join([f"expected the layers {', '.join(names)}", *faults]))
    ours = [*(f"hidden_{i}" for i in range(len(names) - 1)), "last"]
    return {
        our: {"kernel": arrays[f"{name}.weight"].T, "bias": arrays[f"{name}.bias"]}
        for our, name in zip(ours, names, strict=True)
    }


def widths(layers: Layers) -> tuple[int, ...]:
    """The number of outputs of each layer."""
    return tuple(len(layer["bias"]) for layer in layers.values())
