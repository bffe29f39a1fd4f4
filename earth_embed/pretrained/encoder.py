"""A trained location encoder: coordinates in, embeddings out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import closing
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from earth_embed.config import Experiment
from earth_embed.config.files import from_json, to_json
from earth_embed.coordinates import check_lonlat
from earth_embed.encoders.location import build_location, describe, harmonics_in, init_location
from earth_embed.errors import ConfigError, EarthEmbedError, RunError
from earth_embed.progress import phase

_process: int | None = None
"""The process whose JAX this module has used, if any."""

MAX_SMOOTHING_KM = 1e6
"""Nothing but the mean over the globe is left long before."""


class LocationEncoder:
    """A function from (lon, lat) in degrees to an embedding.

    It can be pickled, copied, and called from several threads. A pickle holds the settings and the
    weights, and computes the same on any number of devices.

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
            EarthEmbedError: the process was forked from one that had used an encoder.
        """
        _check_process()
        lonlat = check_lonlat(lon, lat).astype(np.float32)
        out = np.empty((len(lonlat), self.dim), np.float32)
        for start in range(0, len(lonlat), self._batch_size):
            part = lonlat[start : start + self._batch_size]
            # Pad short batches to a power of two: few shapes, so few compilations.
            size = min(self._batch_size, 1 << (len(part) - 1).bit_length())
            padded = np.pad(part, ((0, size - len(part)), (0, 0)))
            out[start : start + len(part)] = self._apply(self._on_device, padded)[: len(part)]
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles plain values and NumPy arrays, nothing of this process or of its devices."""
        params = jax.device_get(self._params)
        settings = to_json(self.experiment)
        return _unpickle, (settings, params, self._batch_size, self._smoothing_km)

    @cached_property
    def _on_device(self) -> Any:
        """The parameters, which come from a pickle on the host and are moved by the first call."""
        return jax.device_put(self._params)

    def __repr__(self) -> str:
        name, location = self.experiment.name, describe(self.experiment.location)
        return f"LocationEncoder({name!r}, dim={self.dim}, {location})"


def load(run: str | Path, which: str = "last", unverified: bool = False) -> LocationEncoder:
    """Loads the location encoder of a run onto JAX's first device.

    Args:
        run: The run's directory.
        which: "last", or "best" by validation retrieval@1. Retrieval rewards telling places apart,
            which is not what transfers best, so "last" is the default.
        unverified: Take the newest checkpoint that can be read, even if neither it nor run.json
            can be compared with checksums. A `FaultWarning` then says why.

    Raises:
        RunError: there is no run.
        CheckpointError: there is no checkpoint, or none that is verified and can be restored.
        ConfigError: `which` is neither.
        EarthEmbedError: the process was forked from one that had used an encoder.
    """
    from earth_embed.training.checkpoint import Checkpointer
    from earth_embed.training.run_dir import read_experiment

    if which not in ("last", "best"):
        raise ConfigError(f'which = {which!r}: expected "last" or "best"')
    _check_process()
    experiment = read_experiment(Path(run))
    with (
        phase(f"restoring the encoder of {run}"),
        closing(Checkpointer(Path(run), unverified=unverified)) as checkpoints,
    ):
        params = checkpoints.restore_location(lambda: _shapes(experiment, run), which)
    return LocationEncoder(experiment, params)


def untrained(run: str | Path) -> LocationEncoder:
    """The run's encoder without any training: with the random parameters that its seed draws."""
    from earth_embed.training.run_dir import read_experiment

    _check_process()
    experiment = read_experiment(Path(run))
    return LocationEncoder(experiment, _initial(experiment))


def _shapes(experiment: Experiment, run: str | Path) -> Any:
    """The shapes of the location encoder's parameters.

    Raises:
        RunError: the settings are valid one by one, but not together or on this machine.
    """
    try:
        return on_one_device(partial(_initial, experiment))
    except EarthEmbedError:
        raise
    except Exception as error:  # of JAX, Flax and NumPy: too large, too deep, of sizes that clash
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise RunError(f"{run} describes an encoder that cannot be built: {reason}") from error


def on_one_device(init: Callable[[], Any]) -> Any:
    """Shapes and dtypes of what `init` would return, on one device: a target to restore to."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(
        lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=device), jax.eval_shape(init)
    )


def _initial(experiment: Experiment) -> Any:
    # Under jit: otherwise each operation would be compiled on its own.
    return jax.jit(lambda: init_location(experiment.location, experiment.seed))()


def _unpickle(
    settings: dict[str, Any], params: Any, batch_size: int, smoothing_km: float
) -> LocationEncoder:
    return LocationEncoder(from_json(settings), params, batch_size, smoothing_km)


def _check_process() -> None:
    """Refuses to use JAX in a fork of a process that has used it.

    A fork does not copy JAX's threads, so the first computation would wait for them for ever.
    """
    global _process
    if _process is None:
        _process = os.getpid()
    elif _process != os.getpid():
        raise EarthEmbedError(
            f"process {os.getpid()} is a fork of process {_process}, which has used JAX: an "
            "encoder would wait for ever for threads that a fork does not copy; expected a process "
            'that starts anew, by multiprocessing.get_context("spawn") or joblib\'s default'
        )
