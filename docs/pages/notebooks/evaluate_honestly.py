# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Evaluate honestly
#
# Is an embedding any good for a task? It is easy to get a high score that means nothing. This
# tutorial scores features that need no training at all, twice: on random splits and on held-out
# blocks. It shows why only the second says something.
#
# The small settings run in seconds. For numbers to publish, use the commented values and the
# command line: `earth-embed evaluate runs/quickstart`.

# %%
import numpy as np

from earth_embed.coordinates import unit_vector
from earth_embed.encoders.harmonics.basis import spherical_harmonics
from earth_embed.evaluation.protocol import evaluate
from earth_embed.evaluation.results import MEAN
from earth_embed.evaluation.settings import Settings
from earth_embed.tasks.labels import Labels, load_labels

LABELS = "tiny"  # "full" has 12,372 test places instead of 927
SEEDS = 5
PROBES = ("ridge",)  # ("ridge", "mlp")
RUN = None  # "runs/quickstart" to score it beside the others

# %% [markdown]
# ## Labelled places
#
# The package carries its own labels: places on land, drawn uniformly by area, with elevation,
# Köppen zone, population and country. No training set of the package shows anything in their
# cells. The first call prepares them from ordinary Python packages.

# %%
labels = load_labels("test", LABELS)
tasks = ("koppen_zone", "country")
labels = Labels(labels.lonlat, {task: labels.targets[task] for task in tasks})
print(f"{len(labels.lonlat)} places, tasks: {', '.join(labels.targets)}")

# %% [markdown]
# ## Features to compare
#
# Anything with one row per place can be scored: the raw unit vector, raw spherical harmonics, and
# your run if you have one.

# %%
features = {
    "unit vector": unit_vector(labels.lonlat).astype(np.float32),
    "harmonics": np.asarray(spherical_harmonics(labels.lonlat.astype(np.float32), 10)),
}
evaluated = "harmonics"
if RUN is not None:
    import earth_embed

    features["run"] = earth_embed.load(RUN)(labels.lonlat)
    evaluated = "run"

# %% [markdown]
# ## Score them
#
# Every feature gets the same probes, splits and seeds. *Label interpolation*, the average of the
# nearest training labels, is added as the bar: it uses no features at all.

# %%
settings = Settings(tasks=tasks, seeds=SEEDS, label_counts=(), probes=PROBES)
results = evaluate(features, labels, settings, name=evaluated, progress=False)

print(f"{'':28s} {'random':>10s} {'10° blocks':>12s}")
for row in results.rows:
    random, blocks = (results.scores(row, split, MEAN).mean() for split in results.settings.splits)
    print(f"{row.feature + ', ' + row.probe:28s} {random:10.3f} {blocks:12.3f}")

# %% [markdown]
# On the small settings this prints
#
# ```
#                                  random   10° blocks
# label interpolation, idw          0.781        0.525
# unit vector, ridge                0.302        0.237
# harmonics, ridge                  0.711        0.517
# ```
#
# Two things to see:
#
# - On **random splits** label interpolation looks excellent. Every test place has a labelled
#   neighbour, so copying it is enough.
# - On **held-out blocks** everything falls, interpolation the most: there is nothing nearby to
#   copy. These are the scores that say whether features transfer to places unlike those with a
#   label.

# %% [markdown]
# ## Is a difference real?
#
# Blocks differ in difficulty, which moves all scores together. Comparing two features *on the same
# splits* cancels that. `gains` gives the mean of these paired differences with its 95 % interval.
# If the interval includes zero, you have not found a difference.

# %%
for row, gain in results.gains("10° blocks").items():
    interval = gain[MEAN]
    verdict = "a difference" if abs(interval.mean) > interval.half_width else "not distinguishable"
    print(
        f"{evaluated} − {row.feature}: {interval.mean:+.3f} ± {interval.half_width:.3f} ({verdict})"
    )

# %% [markdown]
# It prints −0.008 ± 0.016 for harmonics minus label interpolation, where random splits had seemed
# to show a clear difference, and +0.280 ± 0.054 for harmonics minus the unit vector.
#
# ## The same for a run
#
# `evaluate_run` does all of this for a trained run, adds its untrained twin as a baseline, and
# writes `results.json` and `report.html`:
#
# ```sh
# earth-embed evaluate runs/quickstart --split validation   # while you choose settings
# earth-embed evaluate runs/quickstart                      # once, at the end
# ```
#
# It refuses tasks that training has shown. Why all this matters: [Honest
# splits](../concepts/honest-splits.md). To score your own raster or stations: [My own
# task](my_own_task.py).
