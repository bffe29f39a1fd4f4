"""MELT, Multimodal Embedding via Location Tying (arXiv 2606.20167).

Every batch holds samples of all modalities, each with the embedding of its own location. One
contrastive loss (the paper's: asymmetric NT-Xent, sample → location) runs over the joint batch, so
that a location also competes with the locations of the other modalities: the shared location
encoder is all that ties them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from earth_embed.config import Melt
from earth_embed.data.order import Draw
from earth_embed.errors import ConfigError
from earth_embed.hashing import step_key
from earth_embed.losses.build import build_loss
from earth_embed.losses.pairs import Pairs
from earth_embed.methods.batch import quotas, sizes_alone
from earth_embed.step.state import Batch, Metrics, TrainState, Updater
from earth_embed.step.towers import Params, Towers


class MeltMethod:
    """Every batch holds each modality's quota of samples."""

    def __init__(self, towers: Towers, counts: Mapping[str, int], mesh: Mesh) -> None:
        """Binds the method to an experiment's towers; see `build_method`."""
        experiment, settings = towers.experiment, towers.experiment.method
        assert isinstance(settings, Melt)
        self._towers, self._settings = towers, settings
        whole = experiment.batch_size == "all"
        self.sizes = sizes_alone(experiment, counts, mesh) if whole else quotas(experiment)
        # Checked here and not in the settings: a user's own tower may have a space of its own too.
        own = [name for name in towers.names if towers.has_own_space(name)]
        if own and settings.negatives == "joint":
            raise ConfigError(
                f"method.negatives = 'joint': expected 'within' with modalities {own}, which meet "
                "location embeddings in spaces of their own"
            )
        self._apart = bool(own)
        self._compare = build_loss(experiment.loss, settings.direction, experiment.memory, mesh)
        # The joint batch is blocks that hold each modality's share of one block, as small as can
        # be: however many devices share it, their rows are whole blocks, and stay where they are.
        # (All rows in the order of the modalities would have to travel between devices.)
        self._blocks = math.gcd(*self.sizes.values())
        self._shares = [size // self._blocks for size in self.sizes.values()]
        # Which modality each row is of, (B,).
        self._groups = np.tile(np.repeat(np.arange(len(self.sizes)), self._shares), self._blocks)
        # Each row's weight in the loss, (B,).
        weights = np.array(settings.weights or (1.0,) * len(self.sizes), np.float32)
        if settings.reduction == "modalities":
            weights /= self._shares
        self._weights = weights[self._groups] / weights[self._groups].sum()
        self._trained = towers.trained(towers.names)

    def draws(self, step: int) -> dict[str, Draw]:
        """All modalities, every step."""
        return {name: Draw(step, size) for name, size in self.sizes.items()}

    def step(self, state: TrainState, batch: Batch, update: Updater) -> tuple[TrainState, Metrics]:
        """One pure training step; see `Method.step`."""
        return update(state, batch, self._loss, self._trained)

    def _loss(self, params: Params, batch: Batch, step: jax.Array) -> tuple[jax.Array, Metrics]:
        towers, settings, names = self._towers, self._settings, list(self.sizes)
        dropout_key = step_key(towers.experiment.seed, "dropout", step)
        samples = [towers.encode_sample(params, name, batch[name]["sample"]) for name in names]
        lonlat = self._join([batch[name]["lonlat"] for name in names])  # (B, 2)
        candidates = towers.encode_location(params, lonlat, dropout_key)  # (B, D)
        if self._apart:
            parts = zip(names, samples, self._split(candidates), strict=True)
            candidates = self._join([towers.meet(params, *part) for part in parts])
        scales = jnp.stack([towers.logit_scale(params, name) for name in names])  # (M,)
        biases = jnp.stack([towers.logit_bias(params, name) for name in names])  # (M,)
        contrast = self._compare(
            Pairs(
                self._join(samples),
                candidates,
                logit_scale=scales[self._groups],
                logit_bias=biases[self._groups],
                groups=jnp.asarray(self._groups) if settings.negatives == "within" else None,
                lonlat=lonlat,
            )
        )
        retrieval = jnp.stack([part.mean() for part in self._split(contrast.retrieved)])  # (M,)
        loss = (self._weights * contrast.loss).sum()
        return loss, {"retrieval@1": retrieval, "logit_scale": scales}

    def _join(self, parts: list[jax.Array]) -> jax.Array:
        """(B_m, n_m) of each modality → (B, max n_m), block after block, filled up with zeros.

        Zeros in both of two vectors change neither their cosine nor their distance.
        """
        width = max(part.shape[1] for part in parts)
        filled = [jnp.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
        split = [part.reshape(self._blocks, -1, width) for part in filled]
        return jnp.concatenate(split, axis=1).reshape(-1, width)

    def _split(self, joint: jax.Array) -> list[jax.Array]:
        """(B, …), block after block → (B_m, …) of each modality."""
        rest = joint.shape[1:]
        split = joint.reshape(self._blocks, -1, *rest)
        parts = jnp.split(split, np.cumsum(self._shares)[:-1], axis=1)
        return [part.reshape(-1, *rest) for part in parts]
