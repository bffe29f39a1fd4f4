"""GeoCLIP's location encoder: Fourier features of Equal Earth, three scales (arXiv 2309.16020)."""

from __future__ import annotations

import math
from importlib import metadata
from pathlib import Path

import numpy as np

from earth_embed.config import (
    Combined,
    EqualEarthFourier,
    Experiment,
    LocationConfig,
    Mlp,
    Modality,
    Pair,
)
from earth_embed.errors import CheckpointError
from earth_embed.importing.dense import dense_layers, widths
from earth_embed.importing.published import Published
from earth_embed.importing.weights import Weights

PREFIXES = ("LocEnc", "location_encoder.LocEnc")
"""Of the location encoder alone, and of all of GeoCLIP; the number of the scale follows."""

FREQUENCIES = "capsule.0.b"
LAYERS = ("capsule.1", "capsule.3", "capsule.5", "head.0")

PHOTOGRAPHS = Modality("image", "mp-16", "image", "clip_vit_l14", layers=("photographs",))
"""4.7 million geotagged photographs, through a frozen CLIP ViT-L/14."""


def packaged_weights() -> Path:
    """The file inside the installed package `geoclip`, which is found without being imported.

    Raises:
        CheckpointError: it is not installed.
    """
    try:
        package = metadata.distribution("geoclip")
    except metadata.PackageNotFoundError as error:
        raise CheckpointError(
            "expected a file of GeoCLIP's weights, or the package that carries one: "
            "pip install --no-deps geoclip"
        ) from error
    return Path(str(package.locate_file("geoclip/model/weights/location_encoder_weights.pth")))


def geoclip(weights: Weights) -> Published:
    """Reads GeoCLIP's weights; the number of scales and all widths are those of the arrays.

    The σ of a scale is not in the file: it is the power of two next to the root mean square of the
    frequencies, which are.

    Raises:
        CheckpointError: other arrays.
    """
    arrays = weights.below(PREFIXES)
    numbers = {name.split(".")[0] for name in arrays}
    if numbers != {str(i) for i in range(len(numbers))}:
        raise weights.error(f"expected scales numbered from 0; found {sorted(numbers)}")
    parts, params, sigmas = [], {}, []
    for i in range(len(numbers)):
        part = {k.removeprefix(f"{i}."): v for k, v in arrays.items() if k.startswith(f"{i}.")}
        frequencies = part.pop(FREQUENCIES, np.zeros(1))
        size = float(np.sqrt(np.mean(np.square(frequencies, dtype=np.float64))))
        if frequencies.ndim != 2 or frequencies.shape[1] != 2 or not 0 < size < math.inf:
            raise weights.error(
                f"LocEnc{i}.{FREQUENCIES} has shape {frequencies.shape} and root mean square "
                f"{size:g}: expected (F, 2), finite and not 0"
            )
        layers = dense_layers(weights, part, LAYERS, inputs=2 * len(frequencies))
        *hidden, features = widths(layers)
        sigmas.append(2.0 ** round(math.log2(size)))
        encoding = EqualEarthFourier(len(frequencies), (sigmas[-1],))
        parts.append(LocationConfig(encoding, Mlp(tuple(hidden)), features))
        encoded = {"frozen_frequencies": frequencies[None]}
        params[f"part_{i}"] = {"encoding": encoded, "mlp": layers}
    scales = ", ".join(f"{sigma:g}" for sigma in sigmas)
    what = f"GeoCLIP with σ = {scales}, hidden widths {tuple(hidden)} and D = {features}"
    location = Combined(tuple(parts), "sum")
    return Published(what, Experiment("geoclip", (PHOTOGRAPHS,), Pair(), location), params)
