# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Train with MELT and SALT
#
# Two real modalities at different places: the names of towns, and twelve months of atmospheric
# turbidity. We train the same location encoder three ways, with pair, MELT and SALT, and look at
# how they differ.
#
# ![Pair, MELT and SALT](../images/methods.svg)
#
# The small settings train on about 1,350 places per modality for a few steps. For the real thing
# set `CONFIG = ""` and `STEPS = 600`. The quickstart (`earth-embed train
# experiments/quickstart.py`) adds satellite images as a third modality.

# %%
import dataclasses
import tempfile
from pathlib import Path

import numpy as np

import earth_embed
from earth_embed.config import (
    Checkpoints,
    Experiment,
    Input,
    LocationConfig,
    Melt,
    Modality,
    Pair,
    Salt,
    Siren,
    SphericalHarmonics,
)
from earth_embed.data import open_sources
from earth_embed.training.loop import train
from earth_embed.training.records import read_metrics

CONFIG = "/tiny"  # "" for all places
STEPS = 42  # 600
BATCH = 96  # 480

work = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The modalities
#
# These TFDS data sets are made from files that ordinary Python packages carry; the first use
# prepares them. They are disjoint by construction: no two of them share a cell of the Earth.

# %%
text = Modality("text", f"toponyms{CONFIG}", "text", encoder="text", depth=1, text_bytes=64)
turbidity = Modality(
    "turbidity", f"linke_turbidity{CONFIG}", "series", encoder="series", mean=3.2, std=1.1
)

melt = Experiment(
    name="melt",
    modalities=(text, turbidity),
    method=Melt(),
    location=LocationConfig(SphericalHarmonics(10), Siren((128, 128)), features=64),
    input=Input(loader="python"),
    checkpoints=Checkpoints(
        save_every=STEPS, validate_every=5, log_every=5, validation_examples=128
    ),
    batch_size=BATCH,
    steps=STEPS,
)

# %% [markdown]
# ## Three methods, one change each
#
# MELT fills a batch with samples of both modalities, 96 / 2 = 48 each. SALT gives a whole batch to
# one modality and switches at the end of its epoch. Pair knows one modality only.

# %%
experiments = [
    melt,
    dataclasses.replace(melt, name="salt", method=Salt()),
    dataclasses.replace(melt, name="pair_turbidity", method=Pair(), modalities=(turbidity,)),
]
for experiment in experiments:
    train(experiment, work / experiment.name, open_sources(experiment))

# %% [markdown]
# ## What happened
#
# Every run logs the validation loss of each modality on held-out places, always as the same
# asymmetric NT-Xent, so that methods can be compared.

# %%
for experiment in experiments:
    lines = read_metrics(work / experiment.name)
    for modality in experiment.modalities:
        key = f"validation_loss/{modality.name}"
        curve = [line[key] for line in lines if key in line]
        steps = "  ".join(f"{loss:.2f}" for loss in curve)
        print(f"{experiment.name:15s} {modality.name:10s} {steps}")

# %% [markdown]
# On the small settings this prints
#
# ```
# melt            text       5.40  5.21  5.12  5.07  5.03  5.02  5.02  5.02  5.02
# melt            turbidity  4.92  4.54  4.34  4.22  4.12  4.05  4.02  4.01  4.01
# salt            text       5.14  4.99  4.95  4.93  4.93  4.93  4.91  4.91  4.91
# salt            turbidity  5.75  5.71  5.55  4.97  4.65  4.51  4.47  4.47  4.47
# pair_turbidity  turbidity  4.68  4.21  3.97  3.80  3.70  3.64  3.62  3.61  3.61
# ```
#
# MELT lowers both losses together. SALT first learns text alone; turbidity falls only once its
# turn has come.
#
# ## Which modality does SALT train when?
#
# The schedule is a pure function of the step. With 1,350 places and batches of 96 an epoch has 14
# steps, so the turns are 14 steps long.

# %%
active = [
    (line["step"], next(key.split("/")[1] for key in line if key.startswith("retrieval@1/")))
    for line in read_metrics(work / "salt")
    if any(key.startswith("retrieval@1/") for key in line)
]
print(active)

# %% [markdown]
# ## The result is one function
#
# The modality encoders have done their work. What you keep is the location encoder.

# %%
encoders = {experiment.name: earth_embed.load(work / experiment.name) for experiment in experiments}
lonlat = np.array([[8.54, 47.37], [11.58, 48.14], [115.86, -31.95]])  # Zurich, Munich, Perth
for name, encoder in encoders.items():
    e = encoder(lonlat)
    e = e / np.linalg.norm(e, axis=1, keepdims=True)
    print(f"{name:15s} Zurich·Munich {e[0] @ e[1]:.2f}   Zurich·Perth {e[0] @ e[2]:.2f}")

# %% [markdown]
# A lower loss is not a better embedding, and neither is higher retrieval. To choose between these
# runs, score them at held-out places:
#
# ```sh
# earth-embed evaluate runs/quickstart --also runs/salt_three runs/pair_turbidity --split validation
# ```
#
# See [Evaluate honestly](evaluate_honestly.py), and [what the full comparison
# found](../benchmarks/quickstart.md).
