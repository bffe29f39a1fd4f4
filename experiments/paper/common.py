"""Settings shared by the paper's experiments (arXiv 2606.20167).

Batch 2048, learning rate 1e-4, 50 epochs, frozen modality encoders with a trained linear head,
spherical harmonics and SIREN. `docs/pages/paper.md` says how the features are made.

The paper does not state the degree of the harmonics (10 here, as in the smaller SatCLIP), nor the
length of an epoch of several modalities. Here an epoch has as many samples as all modalities
together. MELT draws equal shares; SALT trains each modality in turn for one epoch of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from earth_embed.config import (
    Checkpoints,
    Experiment,
    Input,
    LocationConfig,
    LogitScale,
    Melt,
    Method,
    Modality,
    Optimizer,
    Pair,
    Salt,
    Siren,
    SphericalHarmonics,
)
from earth_embed.encoders.location import Location


def _features(name: str, dataset: str, layer: str) -> Modality:
    table = f"features/{dataset}/features.json"
    return Modality(name, table, "features", encoder="projection", depth=1, geo_layers=(layer,))


IMAGE = _features("image", "s2_100k", "sentinel2")
PHOTO = _features("photo", "mp16", "photographs")
TEXT = _features("text", "wikipedia", "wikipedia")

EXAMPLES = {"image": 90_000, "photo": 4_250_000, "text": 900_000}
"""Approximate numbers of training examples: nine tenths of S2-100K, of MP-16 and of the geotagged
articles of English Wikipedia. They set the number of steps per epoch; if your data differ, change
them here."""

LOCATION = LocationConfig(SphericalHarmonics(10), Siren((512, 512)), features=256)
BATCH_SIZE = 2048
EPOCHS = 50


def epoch_steps(
    modalities: Iterable[Modality],
    batch_size: int = BATCH_SIZE,
    examples: dict[str, int] = EXAMPLES,
) -> int:
    """Steps per epoch: as many samples as the modalities have together."""
    return max(1, sum(examples[modality.name] for modality in modalities) // batch_size)


def paper(
    name: str,
    method: Method,
    *modalities: Modality,
    epochs: int = EPOCHS,
    location: Location = LOCATION,
) -> Experiment:
    """An experiment at the paper's settings."""
    each = epoch_steps(modalities)
    return Experiment(
        name=name,
        modalities=modalities,
        method=method,
        location=location,
        logit_scale=LogitScale(temperature=0.07),
        optimizer=Optimizer(learning_rate=1e-4),
        # A round of SALT is about an epoch; one validation in each would always see the same phase.
        checkpoints=Checkpoints(
            save_every=each, validate_every=max(1, each // 8), validation_examples=2048
        ),
        input=Input(in_memory=False),
        batch_size=BATCH_SIZE,
        steps=epochs * each,
    )


def melt(*modalities: Modality) -> Experiment:
    """MELT on two or more modalities."""
    return paper(_name("melt", modalities), Melt(), *modalities)


def salt(*modalities: Modality) -> Experiment:
    """SALT on two or more modalities."""
    return paper(_name("salt", modalities), Salt(), *modalities)


def pair(modality: Modality) -> Experiment:
    """A single modality and its locations."""
    return paper(_name("pair", (modality,)), Pair(), modality)


def _name(method: str, modalities: Iterable[Modality]) -> str:
    return "_".join([method, *(modality.name for modality in modalities)])
