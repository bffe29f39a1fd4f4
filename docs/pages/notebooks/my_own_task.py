# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # My own task
#
# You want to know whether an embedding predicts something *you* care about, and you have it as a
# raster, as polygons or as a table of stations. On the command line that is one option per task:
#
# ```sh
# earth-embed evaluate runs/quickstart \
#     --task rain=rain.tif --task region=regions.geojson:name \
#     --task wind=stations.csv:speed
# ```
#
# This tutorial makes three small files like these and scores them in Python.

# %%
import tempfile
from pathlib import Path

import geopandas as gpd
import jax.numpy as jnp
import numpy as np
import pandas as pd
import rasterio
from shapely.geometry import box

from earth_embed.encoders.harmonics.basis import spherical_harmonics
from earth_embed.evaluation.protocol import evaluate
from earth_embed.evaluation.settings import Settings
from earth_embed.tasks.user_tasks import at_the_same_places, parse_tasks, read_task

PLACES = 600  # evaluate_run scores at the package's 12,372 test places instead
SEEDS = 2  # 5

work = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)

# %% [markdown]
# ## A raster
#
# Any CRS and any format that GDAL reads. Here a global 2° grid in degrees; a missing value marks
# the ocean of this invented world.

# %%
lat = np.arange(89, -90, -2.0)[:, None]
lon = np.arange(-179, 180, 2.0)[None, :]
rain = 1000 + 900 * np.cos(np.radians(3 * lat)) + 300 * np.sin(np.radians(2 * lon))
rain = np.where(np.abs(lat) > 80, -9999, rain).astype(np.float32)
with rasterio.open(
    work / "rain.tif",
    "w",
    driver="GTiff",
    width=180,
    height=90,
    count=1,
    dtype="float32",
    crs="EPSG:4326",
    nodata=-9999,
    transform=rasterio.Affine(2, 0, -180, 0, -2, 90),
) as file:
    file.write(rain, 1)

# %% [markdown]
# ## Polygons
#
# The column's value of the polygon that holds a place is its class (text) or its number.

# %%
regions = gpd.GeoDataFrame(
    {"name": ["north", "tropics", "south"]},
    geometry=[box(-180, 23.5, 180, 85), box(-180, -23.5, 180, 23.5), box(-180, -85, 180, -23.5)],
    crs="EPSG:4326",
)
regions.to_file(work / "regions.geojson", driver="GeoJSON")

# %% [markdown]
# ## A table of stations
#
# A table is scored at its own places. An empty cell drops that row from the task and is counted.

# %%
stations = pd.DataFrame(
    {"lon": rng.uniform(-180, 180, 400), "lat": np.degrees(np.arcsin(rng.uniform(-0.9, 0.9, 400)))}
)
stations["speed"] = (
    5 + 3 * np.abs(np.sin(np.radians(2 * stations["lat"]))) + rng.normal(0, 0.5, 400)
)
stations.loc[::40, "speed"] = np.nan
stations.to_csv(work / "stations.csv", index=False)

# %% [markdown]
# ## Read them
#
# A task is `NAME=FILE[:FIELD][:FORM]`. The form `log` predicts log10(1 + x), and `class` reads
# whole numbers as classes.

# %%
tasks = parse_tasks(
    [
        f"rain={work / 'rain.tif'}",
        f"region={work / 'regions.geojson'}:name",
        f"wind={work / 'stations.csv'}:speed",
    ]
)
places = np.stack(
    [rng.uniform(-180, 180, PLACES), np.degrees(np.arcsin(rng.uniform(-1, 1, PLACES)))], axis=1
)
parts = [read_task(task, places) for task in tasks]
for part in parts:
    for target in part.targets.values():
        count = len(target.values)
        print(f"{target.name}: {target.kind} at {count} places, left out {target.dropped}")

# %% [markdown]
# ## Score features on them
#
# Tasks at the same places share their splits. Any (N, D) array can stand for the embedding: your
# run's is `earth_embed.load("runs/quickstart")(part.lonlat)`.

# %%
for part in at_the_same_places(parts):
    features = {"harmonics": np.asarray(spherical_harmonics(jnp.float32(part.lonlat), 8))}
    settings = Settings(
        tasks=tuple(part.targets),
        seeds=SEEDS,
        label_counts=(),
        probes=("ridge",),
        block_degrees=(20.0,),
    )
    results = evaluate(features, part, settings, name="harmonics", progress=False)
    for task in results.kinds:
        for row in results.rows:
            random, blocks = (results.scores(row, split, task).mean() for split in settings.splits)
            print(f"{task:8s} {row.feature:20s} random {random:.3f}   20° blocks {blocks:.3f}")

# %% [markdown]
# A run that was trained on a modality whose `geo_layers` contain a task's name is refused: the
# score would measure memory. Name the layers of your modalities, and think about related ones.
#
# Published rasters, polygons and tables, with the exact option for each: [Your own evaluation
# tasks](../how-to/tasks.md). What the two columns mean: [Evaluate honestly](evaluate_honestly.py).
