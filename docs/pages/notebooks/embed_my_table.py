# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Embed my table
#
# You have a table of places, and you want to add a vector to each row that says what the place is
# like. This takes a trained run and one function.
#
# As it stands, this file trains a very small encoder on made-up data, so that it runs anywhere in
# seconds. To use a real one, train the quickstart (`earth-embed train experiments/quickstart.py`)
# and set `RUN = "runs/quickstart"`.

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import earth_embed

RUN = None  # "runs/quickstart" for a real encoder

work = Path(tempfile.mkdtemp())

# %% [markdown]
# ## A run to load
#
# A run is a folder that `earth-embed train` wrote. The next cell makes a tiny one when you have
# none: 20 steps on noise. Its embeddings mean nothing; everything that follows works the same.

# %%
if RUN is None:
    from earth_embed.config import (
        Experiment,
        Input,
        LocationConfig,
        Modality,
        Pair,
        Siren,
        SphericalHarmonics,
    )
    from earth_embed.data import Splits
    from earth_embed.data.sources import ArraySource
    from earth_embed.training.loop import train

    rng = np.random.default_rng(0)

    def noise(count):
        places = np.stack([rng.uniform(-180, 180, count), rng.uniform(-90, 90, count)], axis=1)
        return ArraySource(rng.normal(size=(count, 8)).astype(np.float32), places)

    experiment = Experiment(
        name="tiny",
        modalities=(Modality("noise", dataset="memory", field="sample"),),
        method=Pair(),
        location=LocationConfig(SphericalHarmonics(8), Siren((64, 64)), features=32),
        input=Input(loader="python"),
        batch_size=64,
        steps=20,
    )
    RUN = work / "tiny"
    train(experiment, RUN, {"noise": Splits(noise(512), noise(64))})

# %% [markdown]
# ## Load it
#
# `load` gives you a function from coordinates to vectors. Coordinates are always (longitude,
# latitude), in degrees.

# %%
encoder = earth_embed.load(RUN)
print(encoder)

zurich_and_santiago = encoder(lon=[8.54, -70.67], lat=[47.37, -33.45])
print(zurich_and_santiago.shape, zurich_and_santiago.dtype)

# %% [markdown]
# An array of shape (N, 2) works too, and a latitude that cannot be one is an error rather than a
# wrong vector:

# %%
try:
    encoder(lon=[47.37], lat=[108.54])
except earth_embed.errors.CoordinateError as error:
    print(error)

# %% [markdown]
# ## A whole table
#
# `embed_table` reads CSV, JSON lines, Parquet, GeoParquet, GeoPackage and
# [more](../how-to/tables.md#the-table), and writes the same rows with their embeddings. The command
# line does the same:
#
# ```sh
# earth-embed embed runs/quickstart cities.csv -o cities.parquet
# ```

# %%
from earth_embed.serving.embed import embed_table

cities = pd.DataFrame(
    {
        "city": ["Zurich", "Santiago", "Nairobi", "Oslo", "Perth", "Quito", "Munich", "Cape Town"],
        "lon": [8.54, -70.67, 36.82, 10.75, 115.86, -78.47, 11.58, 18.42],
        "lat": [47.37, -33.45, -1.29, 59.91, -31.95, -0.18, 48.14, -33.92],
    }
)
cities.to_csv(work / "cities.csv", index=False)

rows = embed_table(encoder, work / "cities.csv", work / "cities.parquet")
embedded = pd.read_parquet(work / "cities.parquet")
print(f"wrote {rows} rows")
print(embedded.head(3))

# %% [markdown]
# Tables from elsewhere are rarely so clean. This one is separated by semicolons, its header has
# spaces, and one place is unknown. By default that is an error, before any work is done; `missing`
# says what you want instead.

# %%
import warnings

(work / "survey.csv").write_text("id; Lon; Lat\n007;8.54;47.37\n008;;\n009;-70.67;-33.45\n")
try:
    embed_table(encoder, work / "survey.csv", work / "survey.parquet")
except earth_embed.errors.CoordinateError as error:
    print(error)

with warnings.catch_warnings(record=True) as caught:  # the count of such rows is a warning
    warnings.simplefilter("always")
    embed_table(encoder, work / "survey.csv", work / "survey_embedded.csv", missing="keep")
print(caught[-1].message)
print((work / "survey_embedded.csv").read_text()[:200])

# %% [markdown]
# ## Use the vectors
#
# They are ordinary features: put them into a regression beside your own columns, cluster them, or
# look for similar places. Here, the nearest neighbour of each city by cosine similarity.

# %%
vectors = np.stack(embedded["embedding"].to_numpy())
unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
similarity = unit @ unit.T
np.fill_diagonal(similarity, -1)
for city, nearest in zip(cities["city"], similarity.argmax(axis=1), strict=True):
    print(f"{city:10s} is most like {cities['city'][nearest]}")

# %% [markdown]
# ## Look at the whole Earth
#
# Three principal components as red, green and blue:
#
# ```sh
# earth-embed map runs/quickstart -o map.png
# ```
#
# ![The quickstart's embedding of the Earth](../images/map.png)
#
# Before you trust an embedding for your task, read [Evaluate honestly](evaluate_honestly.py).
