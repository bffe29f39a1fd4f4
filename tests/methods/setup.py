"""A method with all that a step of it needs, and the gradients of that step."""

from functools import partial

import jax

from earth_embed.data.pipeline import Batches
from earth_embed.methods import build_method
from earth_embed.step.mesh import (
    build_mesh,
    compile_step,
    gathered,
    init_sharded,
    split_state,
)
from earth_embed.step.state import Updater
from earth_embed.step.towers import Towers
from earth_embed.training.feed import feed, one_sample_each


class Setup:
    """A method with its data, on some devices; the state is split over the mesh's `model` axis."""

    def __init__(self, experiment, sources, devices=None, model=1):
        self.experiment = experiment
        self.towers = Towers(experiment)
        self.training = {name: sources[name].train for name in self.towers.names}
        self.mesh = build_mesh(model, devices)
        counts = {name: len(source) for name, source in self.training.items()}
        self.method = build_method(self.towers, counts, self.mesh)
        self.update = Updater(self.towers, partial(gathered, mesh=self.mesh))
        init = partial(self.update.init, one_sample_each(self.training))
        shardings = split_state(jax.eval_shape(init), self.mesh, split_from=16)
        self.state = init_sharded(init, shardings)
        self.traces = 0
        self.step = compile_step(self._step, self.mesh, shardings)

    def _step(self, state, batch):
        self.traces += 1
        return self.method.step(state, batch, self.update)

    def encode(self, name, batch):
        """One modality's samples and their locations."""
        towers, params = self.towers, self.state.params
        return (
            jax.jit(towers.encode_sample, static_argnums=1)(params, name, batch[name]["sample"]),
            jax.jit(towers.encode_location)(params, batch[name]["lonlat"]),
        )

    def feed(self, start, stop):
        batches = Batches(self.training, self.experiment.input, self.experiment.seed)
        return feed(self.method, batches, self.mesh, start, stop)


def gradients_of_a_step(experiment, sources, devices):
    """The trained towers, their gradients at the first step, and its metrics."""
    setup = Setup(experiment, sources, devices)
    fed = next(setup.feed(0, 1))
    step = compile_step(lambda s, b: setup.method.step(s, b, reveal), setup.mesh)
    state, metrics = step(setup.state, fed.batch)
    trained = setup.towers.trained(fed.names)
    return *jax.device_get(({tower: state.params[tower] for tower in trained}, metrics)), trained


def reveal(state, batch, loss, trained):
    """Stands in for the updater: the trained towers' parameters become their gradients."""

    def objective(active):
        return loss(state.params | active, batch, state.step)

    active = {tower: state.params[tower] for tower in trained}
    (value, metrics), gradients = jax.value_and_grad(objective, has_aux=True)(active)
    return state.replace(params=state.params | gradients), {"loss": value, **metrics}
