"""Diagnoses a run and writes the findings into its directory."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from earth_embed.data import open_sources
from earth_embed.data.sources import Examples, Source
from earth_embed.diagnosis import Settings
from earth_embed.diagnosis.geometry import (
    alignment,
    effective_rank,
    intrinsic_dimension,
    nearest_place,
    retrieval,
    similarity_by_distance,
    uniformity,
)
from earth_embed.diagnosis.limits import conflict, oracle
from earth_embed.diagnosis.results import (
    Between,
    Diagnosis,
    Locations,
    OfModality,
    write_report,
)
from earth_embed.errors import RunError
from earth_embed.hashing import epoch_permutation
from earth_embed.pretrained.encoder import on_one_device
from earth_embed.progress import phase
from earth_embed.step.state import Batch, TrainState, Updater
from earth_embed.step.towers import Params, Towers
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.feed import one_sample_each
from earth_embed.training.run_dir import (
    check_holdout,
    output_folder,
    read_experiment,
    read_origin,
)


def diagnose_run(
    run_dir: str | Path,
    *,
    data_dir: str | Path | None = None,
    settings: Settings | None = None,
    unverified: bool = False,
) -> Diagnosis:
    """Diagnoses a run's last state; writes diagnosis.json and report.html into RUN/diagnosis.

    Args:
        run_dir: Directory of a run that was trained here.
        data_dir: Directory of TFDS data sets; None for TFDS's default.
        settings: How much to look at; None for the defaults.
        unverified: Use the newest checkpoint that can be read, whatever its checksums.

    Raises:
        RunError: there is no run, it holds imported weights or follows another hold-out rule, or
            it cannot be written.
        DataError: the run's data sets cannot be read.
        CheckpointError: there is no usable checkpoint.
    """
    run_dir, settings = Path(run_dir), settings or Settings()
    experiment = read_experiment(run_dir)
    check_holdout(run_dir)
    with phase("opening the data"):
        sources = open_sources(experiment, None if data_dir is None else Path(data_dir))
    training = {name: splits.train for name, splits in sources.items()}
    with phase("restoring the last checkpoint"):
        towers, state = load_towers(run_dir, training, unverified)
    encoder = ExampleEncoder(towers, state.params)
    folder = output_folder(run_dir / "diagnosis")

    with phase("encoding the held-out examples"):
        held_out = {
            name: encoder(name, draw_examples(splits.validation, settings.examples, settings.seed))
            for name, splits in sources.items()
        }
    # A modality with a space of its own has no samples in the others' space.
    shared = [name for name in held_out if not towers.has_own_space(name)]
    modalities = {}
    for name, encoded in held_out.items():
        with phase(f"finding what limits {name}"):
            modalities[name] = _of_modality(encoder, name, encoded, training[name], settings)
    with phase("looking at the locations"):
        locations = _locations(held_out)
    with phase("comparing the gradients of the modalities"):
        gradients = conflict(towers, state.params, _batches(training, settings))
    diagnosis = Diagnosis(
        run=run_dir.resolve().name,
        step=int(state.step),
        settings=settings,
        modalities=modalities,
        between=tuple(
            _between(held_out, query, candidate, settings.ks)
            for query, candidate in itertools.permutations(shared, 2)
        ),
        locations=locations,
        gradients=gradients,
    )
    diagnosis.save(folder / "diagnosis.json")
    with phase("drawing the report"):
        write_report(folder / "report.html", diagnosis)
    return diagnosis


def load_towers(
    run_dir: Path, sources: Mapping[str, Source], unverified: bool = False
) -> tuple[Towers, TrainState]:
    """Loads all towers of a run that was trained here, and its last state, onto one device.

    Args:
        run_dir: The run's directory.
        sources: Examples of each modality; the shapes of the samples determine its tower's
            parameters.
        unverified: See `pretrained.encoder.load`.

    Raises:
        RunError: there is no run, or it holds imported weights, which have no modality towers.
        CheckpointError: there is no usable checkpoint.
    """
    experiment = read_experiment(run_dir)
    if origin := read_origin(run_dir):
        raise RunError(
            f"{run_dir} holds weights imported from {origin['file']}, a location encoder alone: "
            "expected a run that was trained here, with its modality encoders"
        )
    towers = Towers(experiment)
    like = on_one_device(partial(Updater(towers).init, one_sample_each(sources)))
    with closing(Checkpointer(run_dir, unverified=unverified)) as checkpoints:
        return towers, checkpoints.restore_state(like)


class Encoded(NamedTuple):
    """One modality's encoded examples."""

    samples: np.ndarray
    """(N, n) float32."""
    candidates: np.ndarray
    """(N, n) float32, what the samples are compared with; see `Towers.candidates`."""
    locations: np.ndarray
    """(N, D) float32, location embeddings."""
    lonlat: np.ndarray
    """(N, 2) float32, degrees."""


class ExampleEncoder:
    """Encodes examples with a run's towers; compiles once per modality and number of examples."""

    def __init__(self, towers: Towers, params: Params) -> None:
        """Takes the towers and their parameters."""
        self._towers, self._params = towers, params

        def encode(params: Params, name: str, examples: Batch) -> tuple[jax.Array, ...]:
            samples = towers.encode_sample(params, name, examples["sample"])
            locations = towers.encode_location(params, examples["lonlat"])
            return samples, towers.candidates(params, name, samples, locations), locations

        self._encode = jax.jit(encode, static_argnums=1)

    def __call__(self, name: str, examples: Examples) -> Encoded:
        """Encodes one modality's examples."""
        samples, candidates, locations = jax.device_get(self._encode(self._params, name, examples))
        return Encoded(samples, candidates, locations, examples["lonlat"])

    def scale(self, name: str) -> float:
        """The modality's logit scale 1/τ."""
        return float(self._towers.logit_scale(self._params, name))


def draw_examples(source: Source, count: int, seed: int, start: int = 0) -> Examples:
    """Takes up to `count` examples from position `start` of a seeded order."""
    rows = epoch_permutation(len(source), seed, 0)[start : start + count]
    return source.gather(np.sort(rows))


def _of_modality(
    encoder: ExampleEncoder, name: str, held_out: Encoded, training: Source, settings: Settings
) -> OfModality:
    samples, candidates = held_out.samples, held_out.candidates
    own = np.arange(len(samples))
    seen = encoder(name, draw_examples(training, settings.examples, settings.seed))
    steps, rate = settings.oracle_steps, settings.oracle_rate
    floor = oracle(seen.samples, seen.candidates, encoder.scale(name), steps, rate)
    return OfModality(
        held_out=len(samples),
        alignment=alignment(samples, candidates),
        uniformity_samples=uniformity(samples),
        uniformity_locations=uniformity(candidates),
        to_location=retrieval(samples, candidates, own, settings.ks),
        to_sample=retrieval(candidates, samples, own, settings.ks),
        trained_on=len(seen.samples),
        loss=floor.loss,
        floor=floor.floor,
        encoder_share=floor.encoder_share,
    )


def _between(
    held_out: Mapping[str, Encoded], query: str, candidate: str, ks: tuple[int, ...]
) -> Between:
    queries, candidates = held_out[query], held_out[candidate]
    nearest, km = nearest_place(queries.lonlat, candidates.lonlat)
    count = len(candidates.samples)
    return Between(
        query,
        candidate,
        km,
        retrieval(queries.samples, candidates.samples, nearest, ks),
        {k: min(k / count, 1.0) for k in ks},
    )


def _locations(held_out: Mapping[str, Encoded]) -> Locations:
    locations = np.concatenate([encoded.locations for encoded in held_out.values()])
    lonlat = np.concatenate([encoded.lonlat for encoded in held_out.values()])
    return Locations(
        len(locations),
        effective_rank(locations),
        intrinsic_dimension(locations),
        similarity_by_distance(lonlat, locations),
    )


def _batches(training: Mapping[str, Source], settings: Settings) -> list[Batch]:
    """Consecutive batches of training examples, all of one size so that they compile once."""
    batches = []
    for number in range(settings.batches):
        batch = {}
        for name, source in training.items():
            size = min(settings.examples, len(source) // settings.batches)
            batch[name] = draw_examples(source, max(size, 2), settings.seed, number * size)
        batches.append(batch)
    return batches
