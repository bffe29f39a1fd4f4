"""All towers of an experiment as pure functions of one dictionary of parameters.

    params = {"location": …, "modality:NAME": …, …, "logit_scale" or "logit_scale:NAME": …}

With the sigmoid loss there are also as many "logit_bias" or "logit_bias:NAME". Every key is a
"tower" with its own optimizer state, so that a method can name what it trains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.config import Experiment, Melt, Pair, Sigmoid
from earth_embed.encoders.location import build_location, init_location
from earth_embed.encoders.microbatch import encode_in_parts
from earth_embed.encoders.modality import Tower, build_tower
from earth_embed.errors import ConfigError
from earth_embed.hashing import named_key

Params = dict[str, Any]

LOCATION = "location"


class Towers:
    """The location encoder, the modality encoders and the logit scales of one experiment."""

    def __init__(self, experiment: Experiment) -> None:
        """Builds the modules; nothing is computed.

        Raises:
            ConfigError: an unknown modality encoder, or joint negatives for modalities that do
                not share one embedding space.
        """
        dtype = jnp.dtype(experiment.compute_dtype)
        self.experiment = experiment
        self.names = tuple(modality.name for modality in experiment.modalities)
        self._location = build_location(experiment.location, dtype)
        self._modalities = {m.name: m for m in experiment.modalities}
        features = experiment.location.features
        self._modules = {
            m.name: build_tower(
                m.name, m.encoder, features=features, width=m.width, depth=m.depth, dtype=dtype
            )
            for m in experiment.modalities
        }
        # Only the modules know: a user's own tower may have a space of its own too.
        own = [name for name in self.names if self.has_own_space(name)]
        if own and isinstance(experiment.method, Melt) and experiment.method.negatives == "joint":
            raise ConfigError(
                f"method.negatives = 'joint': expected 'within' with modalities {own}, which map "
                "location embeddings to spaces of their own"
            )

    def init(self, samples: Mapping[str, jax.typing.ArrayLike | jax.ShapeDtypeStruct]) -> Params:
        """Initial parameters; each tower's depend only on the seed and its own name.

        Args:
            samples: For each modality an array (or its shape and dtype) of samples (B, ...).

        Raises:
            ConfigError: an encoder does not fit its modality's samples.
        """
        seed = self.experiment.seed
        params: Params = {LOCATION: init_location(self.experiment.location, seed)}
        for name in self.names:
            example = jnp.zeros((1, *samples[name].shape[1:]), samples[name].dtype)  # type: ignore[union-attr]
            self._check_sample(name, example)
            key = named_key(seed, f"init/{name}")
            standardised = self._standardise(name, example)
            location = jnp.zeros((1, self.experiment.location.features))
            try:
                variables = self._modules[name].init(
                    key, standardised, location, method="encode_pair"
                )
                params[f"modality:{name}"] = variables["params"]
            except (TypeError, ValueError) as error:
                raise ConfigError(
                    f"modalities[{name!r}].encoder = {self._modalities[name].encoder!r} does not "
                    f"fit samples of shape {standardised.shape[1:]}: {error}"
                ) from error
        start = jnp.float32(math.log(1 / self.experiment.logit_scale.temperature))
        params |= dict.fromkeys({self.scale_key(name) for name in self.names}, start)
        if isinstance(self.experiment.loss, Sigmoid):
            bias = jnp.float32(self.experiment.loss.bias)
            params |= dict.fromkeys({self._bias_key(name) for name in self.names}, bias)
        return params

    def trained(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The towers that a step trains if the modalities `names` are active."""
        keys = [LOCATION, *(f"modality:{name}" for name in names)]
        if self.experiment.logit_scale.learnable:
            keys += sorted({self.scale_key(name) for name in names})
        if isinstance(self.experiment.loss, Sigmoid):
            keys += sorted({self._bias_key(name) for name in names})
        return tuple(keys)

    def encode_location(
        self, params: Params, lonlat: jax.Array, dropout_key: jax.Array | None = None
    ) -> jax.Array:
        """Location embeddings (N, D) float32 of (N, 2) degrees, with dropout if there is a key."""
        variables = {"params": params[LOCATION]}

        def encode(lonlat: jax.Array, key: jax.Array | None) -> jax.Array:
            rngs = None if key is None else {"dropout": key}
            out = self._location.apply(variables, lonlat, train=rngs is not None, rngs=rngs)
            return jnp.asarray(out)

        return encode_in_parts(encode, lonlat, dropout_key, self.experiment.memory.microbatch)

    def encode_sample(self, params: Params, name: str, sample: jax.Array) -> jax.Array:
        """Embeddings (B, D) float32 of one modality's samples (B, ...)."""
        variables = {"params": params[f"modality:{name}"]}

        def encode(sample: jax.Array, _: jax.Array | None) -> jax.Array:
            out = self._modules[name].apply(variables, self._standardise(name, sample))
            return jnp.asarray(out).astype(jnp.float32)

        return encode_in_parts(encode, sample, None, self.experiment.memory.microbatch)

    def candidates(
        self, params: Params, name: str, anchors: jax.Array, locations: jax.Array
    ) -> jax.Array:
        """What one modality's encoded samples (B, n) are compared with: (B, n) float32.

        These are the location embeddings (B, D) themselves, unless the modality maps them to a
        space of its own; see `Tower.candidates`.
        """
        variables = {"params": params[f"modality:{name}"]}
        out = self._modules[name].apply(variables, anchors, locations, method="candidates")
        return jnp.asarray(out).astype(jnp.float32)

    def encode_pairs(
        self,
        params: Params,
        name: str,
        examples: Mapping[str, Any],
        dropout_key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """One modality's encoded samples, and what they are compared with: (B, n) float32 each.

        Args:
            params: Parameters by tower.
            name: The modality.
            examples: "sample" (B, ...) and "lonlat" (B, 2), degrees.
            dropout_key: See `encode_location`.
        """
        samples = self.encode_sample(params, name, examples["sample"])
        locations = self.encode_location(params, examples["lonlat"], dropout_key)
        return samples, self.candidates(params, name, samples, locations)

    def has_own_space(self, name: str) -> bool:
        """Whether the modality maps location embeddings to a space of its own."""
        return type(self._modules[name]).candidates is not Tower.candidates

    def logit_scale(self, params: Params, name: str) -> jax.Array:
        """The modality's logit scale exp(s) = 1/τ, a scalar."""
        return jnp.exp(params[self.scale_key(name)])

    def logit_bias(self, params: Params, name: str) -> jax.Array:
        """The modality's logit bias, a scalar; 0 if the loss has none."""
        if isinstance(self.experiment.loss, Sigmoid):
            return jnp.asarray(params[self._bias_key(name)])
        return jnp.float32(0)

    def scale_key(self, name: str) -> str:
        """The key of the modality's s in the parameters."""
        method = self.experiment.method
        shared = isinstance(method, Pair) or method.temperature == "shared"
        return "logit_scale" if shared else f"logit_scale:{name}"

    def _bias_key(self, name: str) -> str:
        return self.scale_key(name).replace("scale", "bias", 1)

    def project(self, tower: str, values: Any) -> Any:
        """Clamps a tower's parameters to their bounds after an update.

        The clamp acts on s itself. A clamp in the loss would have no gradient above the bound, and
        s could never come back.
        """
        if tower.startswith("logit_scale"):
            return jnp.minimum(values, -np.log(self.experiment.logit_scale.min_temperature))
        return values

    def _check_sample(self, name: str, example: jax.Array) -> None:
        """Raises ConfigError unless an encoder is made for such samples (1, ...) as stored."""
        module, shape = self._modules[name], example.shape[1:]
        if not module.accepts(shape, example.dtype):
            raise ConfigError(
                f"modalities[{name!r}].encoder = {self._modalities[name].encoder!r}: expected "
                f"{module.reads}; found samples {example.dtype} of shape {shape}"
            )

    def _standardise(self, name: str, sample: jax.Array) -> jax.Array:
        modality = self._modalities[name]
        if not self._modules[name].standardised:
            return sample
        return (sample.astype(jnp.float32) - modality.mean) / modality.std
