"""A trained location encoder: coordinates in, embeddings out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from earth_embed.config import Experiment
from earth_embed.coordinates import check_lonlat
from earth_embed.encoders.location import describe, harmonics_in
from earth_embed.errors import ConfigError, RunError

if TYPE_CHECKING:
    from earth_embed.data.sources import Source
    from earth_embed.step.state import TrainState
    from earth_embed.step.towers import Towers

MAX_SMOOTHING_KM = 1e6
"""Nothing but the mean over the globe is left long before."""


class LocationEncoder:
    """A function from (lon, lat) in degrees to an embedding.

    Attributes:
        experiment: The experiment that trained it.
        dim: Dimension D of the embedding.
    """

    def __init__(
        self,
        experiment: Experiment,
        params: Any,
        batch_size: int = 2048,
        smoothing_km: float = 0.0,
    ) -> None:
        """Wraps the location encoder's parameters.

        Args:
            experiment: The experiment that trained them.
            params: The location encoder's parameters.
            batch_size: Places encoded at a time; affects memory only.
            smoothing_km: See `smoothed`.
        """
        from earth_embed.encoders.location import build_location

        self.experiment = experiment
        self.dim = experiment.location.features
        self._params = params
        self._batch_size = batch_size
        self._smoothing_km = smoothing_km
        module = build_location(experiment.location, smoothing_km=smoothing_km)
        self._apply = jax.jit(lambda params, lonlat: module.apply({"params": params}, lonlat))

    def __call__(self, lon: ArrayLike, lat: ArrayLike | None = None) -> np.ndarray:
        """Embeds places.

        Args:
            lon: Longitudes in degrees, (N,) or scalar; or an (N, 2) array of (lon, lat).
            lat: Latitudes in degrees, of the same shape as `lon`.

        Returns:
            (N, D) float32.

        Raises:
            CoordinateError: a coordinate is missing or out of range.
        """
        lonlat = check_lonlat(lon, lat).astype(np.float32)
        out = np.empty((len(lonlat), self.dim), np.float32)
        for start in range(0, len(lonlat), self._batch_size):
            part = lonlat[start : start + self._batch_size]
            # Pad short batches to a power of two: few shapes, so few compilations.
            size = min(self._batch_size, 1 << (len(part) - 1).bit_length())
            padded = np.pad(part, ((0, size - len(part)), (0, 0)))
            out[start : start + len(part)] = self._apply(self._params, padded)[: len(part)]
        return out

    def smoothed(self, km: float) -> LocationEncoder:
        """The same encoder on smoothed spherical harmonics, without training.

        Multiplies the harmonics Y_lm by exp(−l(l+1) km²/2R²), a heat kernel of standard deviation
        `km` along each axis. This filters the network's input, not its output. The network is not
        linear and adds finer detail, so the embeddings get smoother but not band-limited. Smoothing
        twice adds up as the root of the sum of squares.

        Args:
            km: Standard deviation in kilometres; 0 changes nothing.

        Raises:
            ConfigError: `km` is negative or above `MAX_SMOOTHING_KM`, or the encoder has no
                harmonics.
        """
        if not 0 <= km <= MAX_SMOOTHING_KM:
            raise ConfigError(
                f"smoothing by {km} km: expected a finite number ≥ 0, of at most "
                f"{MAX_SMOOTHING_KM:,.0f}"
            )
        location = self.experiment.location
        if not any(harmonics_in(location)):
            raise ConfigError(
                "smoothing acts on spherical harmonics, and the encoder of "
                f"{self.experiment.name!r} has none: {describe(location)}"
            )
        total = math.hypot(self._smoothing_km, km)
        return LocationEncoder(self.experiment, self._params, self._batch_size, total)

    def __repr__(self) -> str:
        name, location = self.experiment.name, describe(self.experiment.location)
        return f"LocationEncoder({name!r}, dim={self.dim}, {location})"


def load(run: str | Path, which: str = "last") -> LocationEncoder:
    """Loads the location encoder of a run onto JAX's first device.

    Args:
        run: The run's directory.
        which: "last", or "best" by validation retrieval@1. Retrieval rewards telling places apart,
            which is not what transfers best, so "last" is the default.

    Raises:
        RunError: there is no run.
        CheckpointError: there is no checkpoint, or it is corrupt.
        ConfigError: `which` is neither.
    """
    from earth_embed.training.checkpoint import Checkpointer
    from earth_embed.training.run_dir import read_experiment

    if which not in ("last", "best"):
        raise ConfigError(f'which = {which!r}: expected "last" or "best"')
    experiment = read_experiment(Path(run))
    like = _on_one_device(partial(_initial, experiment))
    with closing(Checkpointer(Path(run))) as checkpoints:
        return LocationEncoder(experiment, checkpoints.restore_location(like, which))


def load_towers(run: str | Path, sources: Mapping[str, Source]) -> tuple[Towers, TrainState]:
    """Loads all towers of a run that was trained here, and its last state, onto one device.

    Args:
        run: The run's directory.
        sources: Examples of each modality; the shapes of the samples determine its tower's
            parameters.

    Raises:
        RunError: there is no run, or it holds imported weights, which have no modality towers.
        CheckpointError: there is no usable checkpoint.
    """
    from earth_embed.step.state import Updater
    from earth_embed.step.towers import Towers
    from earth_embed.training.checkpoint import Checkpointer
    from earth_embed.training.feed import example_shapes
    from earth_embed.training.run_dir import read_experiment, read_origin

    experiment = read_experiment(Path(run))
    if origin := read_origin(Path(run)):
        raise RunError(
            f"{run} holds weights imported from {origin['file']}, a location encoder alone: "
            "expected a run that was trained here, with its modality encoders"
        )
    towers = Towers(experiment)
    like = _on_one_device(partial(Updater(towers).init, example_shapes(sources)))
    with closing(Checkpointer(Path(run))) as checkpoints:
        return towers, checkpoints.restore_state(like)


def untrained(run: str | Path) -> LocationEncoder:
    """The run's encoder before training, with the parameters that the run started from."""
    from earth_embed.training.run_dir import read_experiment

    experiment = read_experiment(Path(run))
    return LocationEncoder(experiment, _initial(experiment))


def _on_one_device(init: Callable[[], Any]) -> Any:
    """Shapes and dtypes of what `init` would return, on one device: a target to restore to."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(
        lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=device), jax.eval_shape(init)
    )


def _initial(experiment: Experiment) -> Any:
    from earth_embed.encoders.location import init_location

    # Under jit: otherwise each operation would be compiled on its own.
    return jax.jit(lambda: init_location(experiment.location, experiment.seed))()
