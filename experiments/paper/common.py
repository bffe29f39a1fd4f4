"""What all experiments of the paper share (arXiv 2606.20167).

Batch 2048, learning rate 1e-4, 50 epochs, frozen modality encoders with a trained linear head,
spherical harmonics and SIREN. `docs/pages/paper.md` says how the features are made.

What the paper leaves unsaid: the harmonics' degree (10 here, as SatCLIP's smaller one), and how
long an epoch of several modalities is. Here an epoch is as many samples as all modalities have
together; MELT draws equal shares, SALT takes each modality in turn for one epoch of its own.
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
"""Training examples, about: nine tenths of what S2-100K, MP-16 and geotagged articles of English
Wikipedia hold. Where yours differ, change them here: they say how many steps an epoch is."""

LOCATION = LocationConfig(SphericalHarmonics(10), Siren((512, 512)), features=256)
BATCH_SIZE = 2048
EPOCHS = 50


def epoch_steps(
    modalities: Iterable[Modality],
    batch_size: int = BATCH_SIZE,
    examples: dict[str, int] = EXAMPLES,
) -> int:
    """Steps of an epoch: as many samples as the modalities have together."""
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
        # SALT's rounds are about an epoch: one validation each would always see the same phase.
        checkpoints=Checkpoints(
            save_every=each, validate_every=max(1, each // 8), validation_examples=2048
        ),
        input=Input(in_memory=False),
        batch_size=BATCH_SIZE,
        steps=epochs * each,
    )


def melt(*modalities: Modality) -> Experiment:
    """MELT of two modalities or more."""
    return paper(_name("melt", modalities), Melt(), *modalities)


def salt(*modalities: Modality) -> Experiment:
    """SALT of two modalities or more."""
    return paper(_name("salt", modalities), Salt(), *modalities)


def pair(modality: Modality) -> Experiment:
    """One modality and its locations."""
    return paper(_name("pair", (modality,)), Pair(), modality)


def _name(method: str, modalities: Iterable[Modality]) -> str:
    return "_".join([method, *(modality.name for modality in modalities)])
