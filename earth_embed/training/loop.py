"""The training loop, top to bottom."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import jax
import numpy as np

from earth_embed.config import Experiment
from earth_embed.config.files import to_json
from earth_embed.data.open import Splits
from earth_embed.data.pipeline import Batches
from earth_embed.encoders.towers import Towers
from earth_embed.errors import DataError, Interrupted, RunError
from earth_embed.methods import build_method
from earth_embed.processes import check_same, from_main, is_main, stop_on_signal
from earth_embed.step.parallel import (
    build_mesh,
    check_divisible,
    compile_step,
    gathered,
    init_sharded,
    share_of_process,
    split_state,
)
from earth_embed.step.state import TrainState, Updater
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.feed import example_shapes, feed
from earth_embed.training.records import draw_curves, open_records
from earth_embed.training.run_dir import locked, open_run
from earth_embed.training.validation import Validation


def train(experiment: Experiment, run_dir: Path, sources: Mapping[str, Splits]) -> TrainState:
    """Trains an experiment, from the start or from the run's last checkpoint.

    A run killed at any moment and started again computes the same numbers as one that was not:
    which examples a step sees, and every random stream, are functions of (seed, step). Processes
    that have joined (`earth_embed.processes.join`) train one run together, in one directory.

    Args:
        experiment: What to train.
        run_dir: The run's directory; see `run_dir.py`.
        sources: The examples of each modality, to train on and held out.

    Returns:
        The state after the last step.

    Raises:
        ConfigError: the settings do not fit the devices.
        DataError: fewer examples than one batch.
        RunError: the directory holds another run or cannot be written, or processes disagree
            about the experiment.
        Interrupted: a signal asked to stop; the state is saved.
    """
    # Everything that can be wrong is found out before the run's directory is touched.
    check_same("the experiment", json.dumps(to_json(experiment)))
    mesh = build_mesh(experiment.mesh.model)
    towers = Towers(experiment)
    training = {name: sources[name].train for name in towers.names}
    held_out = {name: sources[name].validation for name in towers.names}
    method = build_method(towers, {name: len(source) for name, source in training.items()}, mesh)
    check_divisible(method.sizes, mesh, experiment.memory.microbatch)
    for name, size in method.sizes.items():
        if len(training[name]) < size:
            raise DataError(
                f"{len(training[name])} examples of {name!r} are fewer than its {size} in a batch"
            )
    batches = Batches(training, experiment.input, experiment.seed, *share_of_process(mesh))
    update = Updater(towers, partial(gathered, mesh=mesh))
    init = partial(update.init, example_shapes(training))
    shapes = jax.eval_shape(init)  # an encoder that does not fit its samples is found out here
    shardings = split_state(shapes, mesh, experiment.mesh.split_from)
    from_main(lambda: open_run(run_dir, experiment))

    step = compile_step(partial(method.step, update=update), mesh, shardings)
    validate = Validation(towers, held_out, experiment.checkpoints.validation_examples, mesh)
    settings = experiment.checkpoints

    with (
        locked(run_dir),
        stop_on_signal() as stop,
        closing(Checkpointer(run_dir, settings.keep)) as checkpoints,
    ):
        # The state is born where it lives: restored if the run has a checkpoint, else initialised.
        if checkpoints.latest_step() is None:
            state = init_sharded(init, shardings)
        else:  # on whatever devices there are now
            like = jax.tree.map(
                lambda s, to: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=to), shapes, shardings
            )
            state = checkpoints.restore_state(like)
        start = int(state.step)

        clock = Clock(start)
        with closing(open_records(run_dir, start, experiment.steps)) as records:
            for fed in feed(method, batches, mesh, start, experiment.steps):
                state, metrics = step(state, fed.batch)
                done = clock.tick()
                stopping = stop.now(done)  # asked once: a later signal is for the next step
                last = done == experiment.steps or stopping
                # The order below is part of the contract: metrics, validation, checkpoint, and only
                # then (on the generator's next turn) the next batch.
                if done % settings.log_every == 0 or last:
                    values = by_modality(jax.device_get(metrics), fed.names)
                    check_finite(values, done)
                    records.write(done, values | {"steps_per_second": clock.rate()})
                if done % settings.validate_every == 0 or done % settings.save_every == 0 or last:
                    scores = validate(state.params)
                    check_finite(scores, done)  # a checkpoint of such a state would be worthless
                    records.write(done, scores)
                    if done % settings.save_every == 0 or last:
                        checkpoints.save(state, scores["validation_retrieval@1"])
                records.advance()
                if stopping:
                    break
    if is_main():
        draw_curves(run_dir)
    if stop.signal is not None and int(state.step) < experiment.steps:
        raise Interrupted(
            f"stopped at step {int(state.step)} of {experiment.steps}; the state is saved in "
            f"{run_dir}: the same command resumes it",
            stop.signal,
        )
    return state


def by_modality(metrics: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, float]:
    """Names a step's metrics: those with one value a modality become METRIC/NAME."""
    named = {}
    for metric, value in metrics.items():
        if value.ndim == 0:
            named[metric] = float(value)
        else:
            pairs = zip(names, value, strict=True)
            named |= {f"{metric}/{name}": float(each) for name, each in pairs}
    return named


def check_finite(values: Mapping[str, float], step: int) -> None:
    """Stops a run that has diverged, before its state replaces a good checkpoint.

    Raises:
        RunError: a metric is not finite.
    """
    bad = {name: value for name, value in values.items() if not np.isfinite(value)}
    if bad:
        raise RunError(
            f"training diverged by step {step}: {bad}; the checkpoints before it are untouched. "
            "A lower optimizer.learning_rate, or some warmup_steps, in a new run may help"
        )


class Clock:
    """Counts steps and the rate since the last question."""

    def __init__(self, start: int) -> None:
        """Starts at a step."""
        self._step = self._asked = start
        self._since = time.perf_counter()

    def tick(self) -> int:
        """One more step; returns their number."""
        self._step += 1
        return self._step

    def rate(self) -> float:
        """Steps per second since the last call."""
        now = time.perf_counter()
        rate = (self._step - self._asked) / max(now - self._since, 1e-9)
        self._asked, self._since = self._step, now
        return rate
