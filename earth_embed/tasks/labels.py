"""The labels that probes predict, and the rule that training must not have shown them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from earth_embed.coordinates import check_lonlat
from earth_embed.data.tfds import prepare, read_columns
from earth_embed.datasets.packaged import country_names
from earth_embed.errors import DataError
from earth_embed.progress import phase

Kind = Literal["regression", "classification"]


@dataclass(frozen=True)
class Target:
    """One task: a value to predict at every place.

    Attributes:
        name: The task's name.
        values: (N,) float64, or int64 indices into `classes`.
        kind: Whether a number or a class is predicted.
        classes: Names of the classes; empty for a regression.
        unit: Unit of the values; empty for a classification.
        layers: Geographic layers that the target is made of.
        source: What it was read from; empty for built-in tasks.
        dropped: Number of places without a value, by reason.
    """

    name: str
    values: np.ndarray
    kind: Kind
    classes: tuple[str, ...]
    unit: str
    layers: frozenset[str]
    source: str = ""
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Labels:
    """Labelled places: lonlat (N, 2) float64 degrees, and tasks by name, with N values each."""

    lonlat: np.ndarray
    targets: dict[str, Target]


_LAYERS_AND_UNITS = {
    "elevation": ("elevation", "m"),
    "koppen_zone": ("koppen_geiger", ""),
    "log_population": ("geonames_population", "log10(1 + inhabitants)"),
    "country": ("geonames_country", ""),
    "turbidity": ("linke_turbidity", "clean dry atmospheres"),
}


def load_labels(
    split: Literal["validation", "test"],
    config: str = "full",
    data_dir: str | os.PathLike[str] | None = None,
) -> Labels:
    """Reads the data set "land_labels", and prepares it first if necessary.

    Args:
        split: "validation" to choose settings, "test" for scores to publish.
        config: "full", "large" or "tiny".
        data_dir: Directory of TFDS data sets; None for TFDS's default.

    Raises:
        DataError: there is no such split or config.
    """
    builder = prepare(f"land_labels/{config}", data_dir)
    with phase("reading the labels"):
        columns = read_columns(builder, tuple(_LAYERS_AND_UNITS), split)
    targets = {}
    for name, (layer, unit) in _LAYERS_AND_UNITS.items():
        codes = getattr(builder.info.features[name], "names", ())
        classes = tuple(_class_name(name, code) for code in codes)
        targets[name] = Target(
            name=name,
            values=columns[name].astype(np.int64 if classes else np.float64),
            kind="classification" if classes else "regression",
            classes=classes,
            unit=unit,
            layers=frozenset({layer}),
        )
    return Labels(check_lonlat(columns["lon"], columns["lat"]), targets)


_KOPPEN = (
    {"A": "tropical", "B": "arid", "C": "temperate", "D": "cold", "E": "polar"},
    {"f": "no dry season", "m": "monsoon", "s": "dry summer", "w": "dry winter"}
    | {"S": "steppe", "W": "desert", "T": "tundra", "F": "frost"},
    {"h": "hot", "k": "cold", "a": "hot summer", "b": "warm summer", "c": "cool summer"}
    | {"d": "very cold winter"},
)
"""What the letters of a Köppen–Geiger zone mean, by position."""


def _class_name(task: str, code: str) -> str:
    """A class of a built-in task, as people call it: "Af: tropical, no dry season", "Chile"."""
    if task == "country":
        return country_names()[code]
    words = (meaning[letter] for meaning, letter in zip(_KOPPEN, code, strict=False))
    return f"{code}: {', '.join(words)}"


def refuse_leaks(targets: Mapping[str, Target], shown: frozenset[str]) -> None:
    """Refuses tasks whose answer was among the layers shown in training.

    Raises:
        DataError: a target is made of such a layer; the message names all such tasks.
    """
    leaks = [
        f"{name!r} (layer {', '.join(sorted(target.layers & shown))})"
        for name, target in targets.items()
        if target.layers & shown
    ]
    if leaks:
        raise DataError(
            "training showed what these tasks ask for, so they would measure memory: "
            + ", ".join(leaks)
        )
