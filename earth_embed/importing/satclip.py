"""SatCLIP's location encoder: spherical harmonics and SIREN (arXiv 2311.17179)."""

from __future__ import annotations

import math

import numpy as np

from earth_embed.config import (
    Experiment,
    LocationConfig,
    Modality,
    Pair,
    Siren,
    SphericalHarmonics,
)
from earth_embed.encoders.harmonics import degree_and_order
from earth_embed.importing.dense import dense_layers, widths
from earth_embed.importing.published import Published
from earth_embed.importing.weights import Weights

PREFIXES = ("model.location.nnet.", "model.nnet.", "nnet.")
"""Of Lightning's checkpoint, which has the network twice, and of the location encoder alone."""

IMAGES = Modality("image", "s2-100k", "image", "sentinel2_backbone", layers=("sentinel2",))
"""100,000 Sentinel-2 images of 256 × 256 pixels, through a frozen ResNet or ViT."""

ROUNDED_FROM, MOST_DEGREES = 34, 40
"""From L = 34 on the rounding of SatCLIP's polynomials is above 1e-4 at the poles and above their
noise, and is reproduced. Beyond 40, the largest released, the noise there is above 0.1."""


def satclip(weights: Weights) -> Published:
    """Reads SatCLIP's weights; L and all widths are those of the arrays.

    Raises:
        CheckpointError: other arrays, or another encoder than harmonics with SIREN.
    """
    arrays = weights.below(PREFIXES)
    degree = _degree(weights, arrays)
    hidden = sum(name.startswith("layers.") and name.endswith(".weight") for name in arrays)
    names = [*(f"layers.{i}" for i in range(hidden)), "last_layer"]
    layers = dense_layers(weights, arrays, names, inputs=degree**2)
    closed = weights.settings.get("harmonics_calculation") == "closed-form"
    if closed:
        # Orthonormal, but for the Condon–Shortley phase and the (−1)^l of SatCLIP's angles.
        ell, m = degree_and_order(degree)
        signs = np.where((ell + m) % 2 == 0, 1, -1).astype(np.float32)
        layers["hidden_0"]["kernel"] = signs[:, None] * layers["hidden_0"]["kernel"]
        harmonics = SphericalHarmonics(degree)
    else:
        rounded = degree >= ROUNDED_FROM
        harmonics = SphericalHarmonics(degree, "satclip", satclip_polynomials=rounded)
    *inner, features = widths(layers)
    siren = Siren(tuple(inner), dropout=0.5)
    location = LocationConfig(harmonics, siren, features)
    name = f"satclip-l{degree}"
    experiment = Experiment(name, (IMAGES,), Pair("symmetric"), location, batch_size=512)
    what = f"SatCLIP with L = {degree}, hidden widths {tuple(inner)} and D = {features}"
    return Published(what, experiment, {"siren": layers})


def _degree(weights: Weights, arrays: dict[str, np.ndarray]) -> int:
    """L, from the first layer's L² inputs.

    Raises:
        CheckpointError: it is not that of harmonics, or the hyperparameters name other encodings.
    """
    first = arrays.get("layers.0.weight", np.empty(0)).shape
    degree = math.isqrt(first[-1])
    if len(first) != 2 or degree == 0 or degree**2 != first[-1]:
        raise weights.error(f"layers.0.weight has shape {first}: expected (width, L²)")
    settings = {"harmonics_calculation": "analytic"} | weights.settings
    allowed = {
        "le_type": ("sphericalharmonics",),
        "pe_type": ("siren",),
        "harmonics_calculation": ("analytic", "closed-form"),
        "legendre_polys": (degree,),
    }
    faults = [
        f"{name} = {settings[name]!r}: expected {' or '.join(map(repr, values))}"
        for name, values in allowed.items()
        if name in settings and settings[name] not in values
    ]
    if settings["harmonics_calculation"] == "analytic" and degree > MOST_DEGREES:
        faults.append(f"L = {degree}: expected at most {MOST_DEGREES} of analytic harmonics")
    if faults:
        raise weights.error("; ".join(faults))
    return degree
