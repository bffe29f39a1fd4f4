"""The paper's experiments on small data, and a recipe of our own.

The experiments keep their methods, encoders, learning rate and loss. Batches have 512 samples
instead of 2,048, and runs a fifth of the epochs but at least 500 steps: ten epochs of 2,700
photographs would be 53 steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from common import epoch_steps

from earth_embed.config import (
    Checkpoints,
    Experiment,
    Input,
    LocationConfig,
    LogitScale,
    Melt,
    Modality,
    NtXent,
    Optimizer,
    Pair,
    Regression,
    ResidualMlp,
    SphereFourier,
)
from earth_embed.coordinates import EARTH_RADIUS_KM

BATCH_SIZE = 512
EPOCHS_KEPT = 1 / 5
FEWEST_STEPS = 500
LAYERS = {
    "image": ("blue_marble",),
    "text": ("wikivoyage",),
    "photo": ("photographs",),
    "vegetation": ("ndvi", "landcover"),
}

RECIPE_STEPS = 400
RECIPE_SETS = (
    ("image",),
    ("text",),
    ("photo",),
    ("vegetation",),
    ("image", "text"),
    ("image", "vegetation"),
    ("image", "photo", "text"),
    ("image", "photo", "text", "vegetation"),
)


def small(experiment: Experiment, tables: Path, examples: Mapping[str, int]) -> Experiment:
    """An experiment of the paper on the tables of `small_data.py`.

    Args:
        experiment: The experiment at full scale.
        tables: Folder of the tables.
        examples: Number of training examples per modality.
    """
    epochs = experiment.steps / epoch_steps(experiment.modalities)
    of_all = sum(examples[modality.name] for modality in experiment.modalities)
    steps = max(FEWEST_STEPS, round(EPOCHS_KEPT * epochs * of_all / BATCH_SIZE))
    return dataclasses.replace(
        experiment,
        modalities=tuple(modality(each.name, tables) for each in experiment.modalities),
        batch_size=BATCH_SIZE,
        steps=steps,
        checkpoints=_checkpoints(steps),
        input=Input(loader="python"),
    )


def modality(name: str, tables: Path, encoder: str = "projection") -> Modality:
    """A modality on its small table."""
    return Modality(
        name,
        str(tables / f"{name}.parquet"),
        f"{name}.npy",
        encoder=encoder,
        depth=1,
        geo_layers=LAYERS[name],
    )


def recipe(names: tuple[str, ...], tables: Path, contrast: bool = True) -> Experiment:
    """A smooth location encoder that learns frozen targets, by contrast or by regression.

    Fourier features of the unit vector at two coarse scales, then one residual block. Each
    modality's features are frozen targets that a linear head on the location side predicts. The
    temperature is at least 0.2, so that no sample has to be told apart from all others. Text says
    least about its place and has a fifth of the weight.

    Args:
        names: Modalities.
        tables: Folder of the small tables.
        contrast: Whether the loss is symmetric NT-Xent within each modality, or `Regression`.
    """
    direction = "symmetric" if contrast else "sample_to_location"
    weights = tuple(0.2 if name == "text" else 1.0 for name in names)
    melt = Melt(negatives="within", direction=direction, weights=weights)
    kind = "recipe" if contrast else "regression"
    wavelengths = (2 * math.pi * EARTH_RADIUS_KM, math.pi / 2 * EARTH_RADIUS_KM)
    return Experiment(
        name="_".join([kind, *names]),
        modalities=tuple(modality(name, tables, "target") for name in names),
        method=Pair(direction) if len(names) == 1 else melt,
        location=LocationConfig(SphereFourier(128, wavelengths), ResidualMlp(512, 1), 256),
        logit_scale=LogitScale(temperature=0.5, min_temperature=0.2),
        loss=NtXent() if contrast else Regression(),
        optimizer=Optimizer(learning_rate=1e-3),
        checkpoints=_checkpoints(RECIPE_STEPS),
        input=Input(loader="python"),
        batch_size=BATCH_SIZE * len(names),
        steps=RECIPE_STEPS,
    )


def _checkpoints(steps: int) -> Checkpoints:
    """Saves once, validates forty times."""
    return Checkpoints(save_every=steps, keep=1, validate_every=max(1, steps // 40), log_every=5)
