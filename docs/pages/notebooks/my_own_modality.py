# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # My own modality
#
# You have samples with places (photographs, soil profiles, time series, features of a model) and
# want an encoder that learns from them. Write a table, name it in an experiment, train. The second
# half replaces the built-in encoder of the samples with one of your own.

# %%
import tempfile
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pandas as pd

import earth_embed
from earth_embed.config import (
    Checkpoints,
    Experiment,
    Input,
    LocationConfig,
    Melt,
    Modality,
    Siren,
    SphericalHarmonics,
)
from earth_embed.data import open_sources
from earth_embed.encoders.modality import Tower, register
from earth_embed.training.loop import train

STEPS = 40  # 500 or more
ROWS = 1500  # your tables decide

work = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)

# %% [markdown]
# ## Two tables
#
# Each row has `lon` and `lat` in degrees. The first table keeps its samples in a `.npy` file
# beside it, one row per table row: here twelve monthly temperatures. The second keeps a text in a
# column. Note that the two tables share no place: the modalities are *unpaired*.


# %%
def places(count: int) -> pd.DataFrame:
    """Uniform by area, without the poles."""
    lat = np.degrees(np.arcsin(rng.uniform(-0.8, 0.95, count)))
    return pd.DataFrame({"lon": rng.uniform(-180, 180, count), "lat": lat})


stations = places(ROWS)
months = np.arange(12)
season = np.cos(2 * np.pi * (months - 6.5) / 12)
lat = stations["lat"].to_numpy()[:, None]
temperature = 28 - 0.5 * np.abs(lat) + 0.25 * lat * season + rng.normal(0, 2, (ROWS, 12))
stations.to_parquet(work / "stations.parquet")
np.save(work / "stations.npy", temperature.astype(np.float32))

notes = places(ROWS)
notes["note"] = np.where(np.abs(notes["lat"]) < 23.5, "palms, heat, rain", "frost in winter")
notes.to_csv(work / "notes.csv", index=False)

# %% [markdown]
# ## The experiment
#
# `dataset` names the table and `field` the column or `.npy` file. Numbers are standardised as (x −
# mean) / std. `geo_layers` says what the samples show, so that no evaluation asks for it as if it
# were unseen.
#
# One in ten cells of 25 km is held out for validation, the same ones for every modality.

# %%
series = Modality(
    name="temperature",
    dataset=str(work / "stations.parquet"),
    field="stations.npy",
    encoder="series",
    mean=float(temperature.mean()),
    std=float(temperature.std()),
    geo_layers=("temperature",),
)
text = Modality(
    name="note",
    dataset=str(work / "notes.csv"),
    field="note",
    encoder="text",
    depth=1,
    text_bytes=32,
)
experiment = Experiment(
    name="mine",
    modalities=(series, text),
    method=Melt(),
    location=LocationConfig(SphericalHarmonics(8), Siren((128,)), features=64),
    input=Input(loader="python"),  # tables need no TensorFlow
    checkpoints=Checkpoints(save_every=STEPS, validate_every=STEPS, log_every=10),
    batch_size=128,
    steps=STEPS,
)
train(experiment, work / "mine", open_sources(experiment))

encoder = earth_embed.load(work / "mine")
print(encoder, encoder(lon=[8.54], lat=[47.37]).shape)

# %% [markdown]
# In a file of its own, say `mine.py`, the same experiment trains with `earth-embed train mine.py`,
# resumes after an interruption, and takes overrides such as `--steps 2000 --method salt`.

# %% [markdown]
# ## An encoder of your own
#
# A modality encoder is a Flax module that maps samples (B, …) to (B, features). Subclass `Tower`,
# register it under a name, and use that name. This one looks at the yearly mean and the strength
# of the seasons, and nothing else.


# %%
@register("seasons")
class Seasons(Tower):
    """Amplitude and phase of the yearly cycle, then one dense layer."""

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, 12) to (B, features)."""
        angle = 2 * np.pi * np.arange(12) / 12
        basis = np.stack([np.ones(12), np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        summary = sample @ basis / 12  # (B, 3): mean, cosine and sine of the year
        hidden = nn.gelu(nn.Dense(self.width, dtype=self.dtype)(summary))
        return nn.Dense(self.features, dtype=self.dtype)(hidden)


# %%
import dataclasses

seasons = dataclasses.replace(series, encoder="seasons")
experiment = dataclasses.replace(experiment, name="seasons", modalities=(seasons, text))
train(experiment, work / "seasons", open_sources(experiment))
print(earth_embed.load(work / "seasons"))

# %% [markdown]
# In an experiment file, define or import the class above `experiment`.
#
# More about tables, images and large `.npy` files: [Your own data as a
# modality](../how-to/tables.md).
