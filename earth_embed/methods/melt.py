"""MELT, Multimodal Embedding via Location Tying (arXiv 2606.20167).

    ℓ_i = −log( exp(s·zᵢ·eᵢ) / Σⱼ exp(s·zᵢ·eⱼ) )          i, j = 1 … B,   loss = mean of ℓ_i

    i, j run over the joint batch, which holds samples of every modality
    zᵢ   embedding of sample i by its own modality's encoder, of unit length
    eⱼ   embedding of location j by the location encoder, of unit length
    s    the learnable logit scale 1/τ

The modalities are unpaired: each sample comes with its own location. Sample i must pick its
location out of all B locations, those of the other modalities included. The location encoder,
which all modalities share, is all that ties them together.

Settings (`config.Melt`) can restrict j to the modality of i, weight the modalities in the mean, and
give each modality its own s.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from earth_embed.config import Melt
from earth_embed.data.order import Draw
from earth_embed.hashing import step_key
from earth_embed.losses.build import build_loss
from earth_embed.losses.pairs import Pairs
from earth_embed.methods.batch import JointBatch, quotas, sizes_alone
from earth_embed.step.state import Batch, Metrics, TrainState, Updater
from earth_embed.step.towers import Params, Towers


class MeltMethod:
    """Every batch holds each modality's quota of samples."""

    def __init__(self, towers: Towers, counts: Mapping[str, int], mesh: Mesh) -> None:
        """Binds the method to an experiment's towers; see `build_method`."""
        experiment, settings = towers.experiment, towers.experiment.method
        assert isinstance(settings, Melt)
        self._towers = towers
        whole = experiment.batch_size == "all"
        self.sizes = sizes_alone(experiment, counts, mesh) if whole else quotas(experiment)
        self._joint = JointBatch(list(self.sizes.values()))
        self._within = settings.negatives == "within"
        self._weights = _row_weights(settings, self._joint)
        self._losses = build_loss(experiment.loss, settings.direction, experiment.memory, mesh)
        self._trained = towers.trained(towers.names)

    def draws(self, step: int) -> dict[str, Draw]:
        """All modalities, every step."""
        return {name: Draw(step, size) for name, size in self.sizes.items()}

    def step(self, state: TrainState, batch: Batch, update: Updater) -> tuple[TrainState, Metrics]:
        """One training step; see `TrainingMethod.step`."""
        return update(state, batch, self._loss, self._trained)

    def _loss(self, params: Params, batch: Batch, step: jax.Array) -> tuple[jax.Array, Metrics]:
        """The weighted mean of ℓ_i over the joint batch."""
        towers, joint, names = self._towers, self._joint, self._towers.names
        dropout_key = step_key(towers.experiment.seed, "dropout", step)
        z = [towers.encode_sample(params, name, batch[name]["sample"]) for name in names]
        lonlat = joint.join([batch[name]["lonlat"] for name in names])  # (B, 2)
        e = towers.encode_location(params, lonlat, dropout_key)  # (B, D)
        if any(map(towers.has_own_space, names)):  # such as frozen targets
            parts = zip(names, z, joint.split(e), strict=True)
            e = joint.join([towers.candidates(params, *part) for part in parts])
        s = jnp.stack([towers.logit_scale(params, name) for name in names])  # (M,)
        b = jnp.stack([towers.logit_bias(params, name) for name in names])  # (M,)
        each = self._losses(  # ℓ_i, (B,)
            Pairs(
                joint.join(z),  # (B, D)
                e,
                s[joint.groups],
                b[joint.groups],
                jnp.asarray(joint.groups) if self._within else None,
                lonlat,
            )
        )
        retrieval = jnp.stack([part.mean() for part in joint.split(each.retrieved)])  # (M,)
        loss = (self._weights * each.loss).sum()
        return loss, {"retrieval@1": retrieval, "logit_scale": s}


def _row_weights(settings: Melt, joint: JointBatch) -> np.ndarray:
    """The weight of each ℓ_i in the loss, (B,), with sum 1."""
    weights = np.array(settings.weights or (1.0,) * len(joint.shares), np.float32)  # (M,)
    if settings.reduction == "modalities":
        weights /= joint.shares
    rows = weights[joint.groups]
    return rows / rows.sum()
