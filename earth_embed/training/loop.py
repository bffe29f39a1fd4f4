"""The training loop, top to bottom."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import jax
import numpy as np

from earth_embed.config import Experiment
from earth_embed.config.files import to_json
from earth_embed.data import Splits
from earth_embed.data.pipeline import Batches
from earth_embed.errors import DataError, Interrupted, RunError
from earth_embed.methods import build_method
from earth_embed.processes import check_same, from_main, is_main
from earth_embed.progress import first_call, phase
from earth_embed.step.mesh import (
    build_mesh,
    check_divisible,
    compile_step,
    gathered,
    init_sharded,
    share_of_process,
    split_state,
)
from earth_embed.step.state import TrainState, Updater
from earth_embed.step.towers import Towers
from earth_embed.training.accounting import Meter, product_flops, profiled
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.feed import Validation, feed, one_sample_each
from earth_embed.training.initial import begin, initial_weights
from earth_embed.training.records import draw_curves, open_records, skipped_steps
from earth_embed.training.run_dir import check_run, locked, open_run
from earth_embed.training.stopping import Watch, stop_on_signal


def train(
    experiment: Experiment,
    run_dir: Path,
    sources: Mapping[str, Splits] | Callable[[], Mapping[str, Splits]],
    profile: bool = False,
    unverified: bool = False,
    init_from: Path | None = None,
) -> TrainState:
    """Trains an experiment, from the start or from the run's last checkpoint.

    A run that is killed at any moment and restarted computes the same numbers as an uninterrupted
    one: the examples of a step and all random streams are functions of (seed, step). Processes
    that have joined (`earth_embed.processes.join`) train one run together, in one directory.

    Args:
        experiment: What to train.
        run_dir: The run's directory; see `run_dir.py`.
        sources: The training and held-out examples of each modality; or a function that opens
            them, which is called after the checks that need no data.
        profile: Write a profile of a few steps to RUN/profile.
        unverified: Resume from the newest checkpoint that can be read, whatever its checksums.
        init_from: A run whose weights a new run begins with; see `initial.py`. When the run is
            resumed it need not be given again.

    Returns:
        The state after the last step.

    Raises:
        ConfigError: the settings do not fit the devices.
        DataError: a modality has fewer examples than its part of a batch.
        RunError: the directory holds another run or cannot be written, the run diverged, or the
            processes have different experiments.
        CheckpointError: no checkpoint can be verified and restored, or one cannot be saved.
        Interrupted: a signal asked to stop; the state is saved.
    """
    # All input errors are raised before the run's directory is touched.
    check_same("the experiment", json.dumps(to_json(experiment)))
    mesh = build_mesh(experiment.mesh.model)
    towers = Towers(experiment)
    from_main(lambda: check_run(run_dir, experiment))
    weights = initial_weights(run_dir, experiment, init_from, mesh, unverified)
    with phase("opening the data"):
        opened = sources() if callable(sources) else sources
    training = {name: opened[name].train for name in towers.names}
    held_out = {name: opened[name].validation for name in towers.names}
    method = build_method(towers, {name: len(source) for name, source in training.items()}, mesh)
    check_divisible(method.sizes, mesh, experiment.memory.microbatch)
    for name, size in method.sizes.items():
        if len(training[name]) < size:
            raise DataError(
                f"{len(training[name])} examples of {name!r} are fewer than its {size} in a batch"
            )
    batches = Batches(training, experiment.input, experiment.seed, *share_of_process(mesh))
    update = Updater(towers, partial(gathered, mesh=mesh))
    init = partial(update.init, one_sample_each(training))
    shapes = jax.eval_shape(init)  # raises if an encoder does not fit its samples
    shardings = split_state(shapes, mesh, experiment.mesh.split_from)
    from_main(lambda: open_run(run_dir, experiment, init_from=weights and weights.origin))

    step = compile_step(partial(method.step, update=update), mesh, shardings)
    settings = experiment.checkpoints
    with phase("reading the validation examples"):
        validate = Validation(towers, held_out, settings.validation_examples, mesh)
    take_step = first_call("compiling the training step", step)
    score = first_call("compiling the validation", validate)
    # Checkpoints are compressed, if hardly: half is a bound.
    least = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes)) // 2

    with (
        locked(run_dir, least),
        stop_on_signal() as stop,
        closing(Checkpointer(run_dir, settings.keep, unverified)) as checkpoints,
    ):
        # The state is created sharded: restored if the run has a checkpoint, else initialised.
        if checkpoints.latest_step() is None:
            with phase("initialising the parameters"):
                state = init_sharded(init, shardings)
                if weights:
                    state = begin(state, weights, towers, shardings)
        else:  # the devices may be others than before
            like = jax.tree.map(
                lambda s, to: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=to), shapes, shardings
            )
            with phase("restoring the last checkpoint"):
                state = checkpoints.restore_state(like)
        start = int(state.step)
        meter, order = Meter(start), list(method.sizes)
        flops: dict[tuple[str, ...], int] = {}
        with (
            closing(open_records(run_dir, start, experiment.steps)) as records,
            profiled(run_dir / "profile" if profile else None, start) as profiler,
        ):
            watch = Watch(
                experiment.optimizer.not_finite,
                lambda n: batches.describe(method.draws(n - 1)),
                partial(last_good, checkpoints),
                from_main(lambda: skipped_steps(run_dir)),
            )
            for fed in feed(method, batches, mesh, start, experiment.steps):
                state, metrics = take_step(state, fed.batch)
                if fed.names not in flops:  # the step is traced already, so this is cheap
                    program = step.trace(state, fed.batch).jaxpr
                    flops[fed.names] = product_flops(program, order.index(fed.names[0]))
                examples = sum(method.sizes[name] for name in fed.names)
                done = meter.tick(examples, flops[fed.names])
                profiler(done)
                watch.note(done, metrics)
                stopping = stop.now(done)  # asked once: a later signal counts for the next step
                last = done == experiment.steps or stopping
                # This order is part of the contract: metrics, validation, checkpoint, and only then
                # the next batch, when the generator resumes.
                logging = done % settings.log_every == 0 or last
                saving = done % settings.save_every == 0 or last
                validating = done % settings.validate_every == 0 or saving
                if logging or validating:
                    for step_skipped, count in watch.read().items():
                        records.write(step_skipped, {"skipped_steps": count})
                if logging:
                    values = by_modality(jax.device_get(metrics), fed.names)
                    values = {name: value for name, value in values.items() if np.isfinite(value)}
                    records.write(done, values | meter.rates())
                if validating:
                    scores = score(state.params)
                    check_finite(scores, done, checkpoints)  # before such a state is saved
                    records.write(done, scores)
                    if saving:
                        checkpoints.save(state, scores["validation_retrieval@1"])
                records.advance()
                if stopping:
                    break
        with phase("saving the last checkpoint"):
            checkpoints.wait()
    if is_main():
        with phase("drawing the curves"):
            draw_curves(run_dir)
    if stop.signal is not None and int(state.step) < experiment.steps:
        raise Interrupted(
            f"stopped at step {int(state.step)} of {experiment.steps}; the state is saved in "
            f"{run_dir}: the same command resumes it",
            stop.signal,
        )
    return state


def by_modality(metrics: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, float]:
    """Names a step's metrics: those with one value per modality become METRIC/NAME."""
    named = {}
    for metric, value in metrics.items():
        if value.ndim == 0:
            named[metric] = float(value)
        else:
            pairs = zip(names, value, strict=True)
            named |= {f"{metric}/{name}": float(each) for name, each in pairs}
    return named


def check_finite(scores: Mapping[str, float], step: int, checkpoints: Checkpointer) -> None:
    """Stops a diverged run before its state replaces a good checkpoint.

    Raises:
        RunError: a score is not finite.
    """
    bad = {name: value for name, value in scores.items() if not np.isfinite(value)}
    if bad:
        raise RunError(f"training diverged by step {step}: {bad}; {last_good(checkpoints)}")


def last_good(checkpoints: Checkpointer) -> str:
    """Names the last checkpoint, after waiting for it to be complete on disk."""
    checkpoints.wait()
    step = checkpoints.latest_step()
    if step is None:
        return "no checkpoint was saved before it"
    return f"the last good checkpoint is that of step {step}, {checkpoints.folder(step)}"
