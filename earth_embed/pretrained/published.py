"""Reads the published weights of GeoCLIP and SatCLIP as location encoders of this package."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from earth_embed.config import (
    Combined,
    EqualEarthFourier,
    Experiment,
    LocationConfig,
    Mlp,
    Modality,
    Pair,
    Siren,
    SphericalHarmonics,
)
from earth_embed.encoders.harmonics.basis import degree_and_order
from earth_embed.errors import CheckpointError
from earth_embed.torchfiles import Weights, defect


@dataclass(frozen=True)
class Published:
    """A location encoder that was trained elsewhere.

    Attributes:
        summary: What was read, in a few words.
        experiment: The encoder's settings, and the data and loss that trained it. What only
            training reads, and a file of weights does not hold, has this package's defaults.
        params: The location encoder's parameters.
    """

    summary: str
    experiment: Experiment
    params: dict[str, Any]

    @property
    def parameters(self) -> int:
        """Number of parameters, including frozen ones."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


GEOCLIP_PREFIXES = ("LocEnc", "location_encoder.LocEnc")
"""Prefixes in files of the location encoder and of the whole model; the scale's number follows."""

GEOCLIP_FREQUENCIES = "capsule.0.b"
GEOCLIP_LAYERS = ("capsule.1", "capsule.3", "capsule.5", "head.0")

GEOCLIP_PHOTOS = Modality("image", "mp-16", "image", "clip_vit_l14", geo_layers=("photographs",))
"""4.7 million geotagged photographs, encoded by a frozen CLIP ViT-L/14."""

SATCLIP_PREFIXES = ("model.location.nnet.", "model.nnet.", "nnet.")
"""Prefixes in Lightning's checkpoint, which holds the network twice, and in a file of the location
encoder."""

SATCLIP_IMAGES = Modality(
    "image", "s2-100k", "image", "sentinel2_backbone", geo_layers=("sentinel2",)
)
"""100,000 Sentinel-2 images of 256 × 256 pixels, encoded by a frozen ResNet or ViT."""

SATCLIP_ROUNDED_FROM, SATCLIP_MAX_DEGREE = 34, 40
"""From L = 34 on, the rounding errors of SatCLIP's polynomials exceed 1e-4 at the poles, which is
above their noise, and are reproduced. Above L = 40, the largest released, the noise exceeds 0.1."""


def packaged_weights() -> Path:
    """The file of weights in the installed package `geoclip`; the package is not imported.

    Raises:
        CheckpointError: the package is not installed.
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
    """Reads GeoCLIP's weights; the arrays give the number of scales and all widths.

    The file holds the frequencies of each scale but not its σ, which is taken as the power of two
    nearest to their root mean square.

    Raises:
        CheckpointError: the file holds other arrays.

    References:
        Vivanco Cepeda et al. 2023, "GeoCLIP" (arXiv 2309.16020).
    """
    arrays = weights.below(GEOCLIP_PREFIXES)
    numbers = {name.split(".")[0] for name in arrays}
    if numbers != {str(i) for i in range(len(numbers))}:
        raise weights.error(f"expected scales numbered from 0; found {sorted(numbers)}")
    parts, params, sigmas = [], {}, []
    for i in range(len(numbers)):
        part = {k.removeprefix(f"{i}."): v for k, v in arrays.items() if k.startswith(f"{i}.")}
        frequencies = part.pop(GEOCLIP_FREQUENCIES, np.zeros(1, np.float32))
        name = f"LocEnc{i}.{GEOCLIP_FREQUENCIES}"
        if frequencies.dtype != np.float32:
            raise weights.error(f"{name} {defect(frequencies)}")
        size = math.sqrt(np.square(frequencies, dtype=np.float64).sum() / max(frequencies.size, 1))
        if frequencies.ndim != 2 or frequencies.shape[1] != 2 or not 0 < size < math.inf:
            raise weights.error(
                f"{name} has shape {frequencies.shape} and root mean square {size:g}: expected "
                "(F, 2), finite and not 0"
            )
        layers = dense_layers(weights, part, GEOCLIP_LAYERS, inputs=2 * len(frequencies))
        *hidden, features = widths(layers)
        sigmas.append(2.0 ** round(math.log2(size)))
        encoding = EqualEarthFourier(len(frequencies), (sigmas[-1],))
        parts.append(LocationConfig(encoding, Mlp(tuple(hidden)), features))
        encoded = {"frozen_frequencies": frequencies[None]}
        params[f"part_{i}"] = {"encoding": encoded, "mlp": layers}
    scales = ", ".join(f"{sigma:g}" for sigma in sigmas)
    what = f"GeoCLIP with σ = {scales}, hidden widths {tuple(hidden)} and D = {features}"
    location = Combined(tuple(parts), "sum")
    return Published(what, Experiment("geoclip", (GEOCLIP_PHOTOS,), Pair(), location), params)


def satclip(weights: Weights) -> Published:
    """Reads SatCLIP's weights; the arrays give L and all widths.

    Raises:
        CheckpointError: the file holds other arrays, or an encoder other than spherical harmonics
            with SIREN.

    References:
        Klemmer et al. 2023, "SatCLIP" (arXiv 2311.17179).
    """
    arrays = weights.below(SATCLIP_PREFIXES)
    degree = _degree(weights, arrays)
    hidden = sum(name.startswith("layers.") and name.endswith(".weight") for name in arrays)
    names = [*(f"layers.{i}" for i in range(hidden)), "last_layer"]
    layers = dense_layers(weights, arrays, names, inputs=degree**2)
    closed = weights.settings.get("harmonics_calculation") == "closed-form"
    if closed:
        # Orthonormal except for the Condon–Shortley phase and the (−1)^l of SatCLIP's angles.
        ell, m = degree_and_order(degree)
        signs = np.where((ell + m) % 2 == 0, 1, -1).astype(np.float32)
        layers["hidden_0"]["kernel"] = signs[:, None] * layers["hidden_0"]["kernel"]
        harmonics = SphericalHarmonics(degree)
    else:
        rounded = degree >= SATCLIP_ROUNDED_FROM
        harmonics = SphericalHarmonics(degree, "satclip", satclip_polynomials=rounded)
    *inner, features = widths(layers)
    siren = Siren(tuple(inner), dropout=0.5)
    location = LocationConfig(harmonics, siren, features)
    name = f"satclip-l{degree}"
    experiment = Experiment(name, (SATCLIP_IMAGES,), Pair("symmetric"), location, batch_size=512)
    what = f"SatCLIP with L = {degree}, hidden widths {tuple(inner)} and D = {features}"
    return Published(what, experiment, {"siren": layers})


def _degree(weights: Weights, arrays: dict[str, np.ndarray]) -> int:
    """L, from the L² inputs of the first layer.

    Raises:
        CheckpointError: the number of inputs is not square, or the hyperparameters name another
            encoding.
    """
    first = arrays.get("layers.0.weight", np.empty(0)).shape
    degree = math.isqrt(first[-1]) if len(first) == 2 else 0
    if degree == 0 or degree**2 != first[-1]:
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
    if settings["harmonics_calculation"] == "analytic" and degree > SATCLIP_MAX_DEGREE:
        faults.append(f"L = {degree}: expected at most {SATCLIP_MAX_DEGREE} of analytic harmonics")
    if faults:
        raise weights.error("; ".join(faults))
    return degree


Layers = dict[str, dict[str, np.ndarray]]
"""{"hidden_0": {"kernel": (in, out), "bias": (out,)}, …, "last": {…}}"""


def dense_layers(
    weights: Weights, arrays: Mapping[str, np.ndarray], names: Sequence[str], inputs: int
) -> Layers:
    """Converts consecutive dense layers from PyTorch to Flax.

    Args:
        weights: The file, for messages.
        arrays: NAME.weight (out, in) and NAME.bias (out,) of each layer, and nothing else.
        names: The layers, first to last.
        inputs: Number of inputs of the first layer.

    Raises:
        CheckpointError: arrays are missing, unknown, not finite floating-point numbers, or do not
            fit the shape of the previous layer; the message names all of them.
    """
    expected = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    faults = [f"{name} is missing" for name in expected if name not in arrays]
    faults += [f"{name} is unknown" for name in arrays if name not in expected]
    faults += [f"{name} {fault}" for name, array in arrays.items() if (fault := defect(array))]
    before: tuple[int, ...] = (inputs,)
    for name in names if not faults else ():
        weight, bias = (arrays[f"{name}.{kind}"].shape for kind in ("weight", "bias"))
        if len(bias) != 1 or weight != bias + before:
            faults.append(f"{name} has weight {weight} and bias {bias} after {before[-1]} inputs")
        before = weight[:1] or (0,)  # a scalar has no outputs
    if faults:
        raise weights.error("\n  ".join([f"expected the layers {', '.join(names)}", *faults]))
    ours = [*(f"hidden_{i}" for i in range(len(names) - 1)), "last"]
    return {
        our: {"kernel": arrays[f"{name}.weight"].T, "bias": arrays[f"{name}.bias"]}
        for our, name in zip(ours, names, strict=True)
    }


def widths(layers: Layers) -> tuple[int, ...]:
    """Number of outputs of each layer."""
    return tuple(len(layer["bias"]) for layer in layers.values())
