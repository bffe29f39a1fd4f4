"""What an evaluation runs. The attribute docstrings are the command line's `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from earth_embed.checks import Checked, Checks

PROBES = ("ridge", "mlp")

RANDOM, CONTINENTS = "random", "continents"
"""Names of two kinds of split; `block_split_name` gives the others."""


@dataclass(frozen=True)
class Settings(Checked, owner="evaluation"):
    """Tasks, splits and probes of an evaluation.

    With the defaults, four features of up to 256 dimensions at 12,000 places take about two minutes
    on 2 CPU cores, half of them for the MLP.
    """

    tasks: tuple[str, ...] = ("elevation", "koppen_zone", "log_population", "country")
    """Built-in labels to predict; may be empty if --task gives others. A task whose layer was shown
    in training is refused."""
    seeds: int = 5
    """Number of random splits and of block splits, seeded 0, 1, …"""
    label_counts: tuple[int, ...] = (243, 1000, 10_000)
    """Numbers of training labels to fit with, besides all of them (defaults: the paper's). A count
    that does not leave any label out is skipped."""
    probes: tuple[str, ...] = PROBES
    """Probes on the frozen features: "ridge", "mlp"."""
    block_degrees: tuple[float, ...] = (10.0,)
    """Sides of the blocks that are held out as a whole; each size gets its own tables. The maps use
    the first."""
    continents: bool = False
    """Also hold out each continent in turn. A place belongs to the continent of the nearest
    GeoNames town's country."""
    folds: int = 0
    """Number of cross-validation folds per seed; 0 for a single split per seed. With folds, each
    place is tested once per seed, and a seed's score is the mean over its folds."""
    r2_floor: float | None = None
    """Lower bound for a seed's R², so that one failed fit does not dominate a mean (CoordBench
    uses -1). results.json keeps the original scores."""
    test_fraction: float = 0.2
    """Share of the places held out for testing; also the share of the training places held out for
    choosing the ridge penalty and stopping the MLP."""
    neighbours: int = 50
    """Number of nearest labels that label interpolation averages."""

    def _check(self, checks: Checks) -> None:
        distinct = len(set(self.tasks)) == len(self.tasks)
        checks.expect(distinct, "tasks", self.tasks, "distinct tasks")
        checks.at_least("seeds", self.seeds, 1)
        enough = all(count >= 20 for count in self.label_counts)
        checks.expect(enough, "label_counts", self.label_counts, "counts ≥ 20")
        known = bool(self.probes) and set(self.probes) <= set(PROBES)
        known = known and len(set(self.probes)) == len(self.probes)
        checks.expect(known, "probes", self.probes, f"one or more of {PROBES}")
        sides = self.block_degrees
        valid = 0 < len(set(sides)) == len(sides) and all(0 < side <= 90 for side in sides)
        checks.expect(valid, "block_degrees", sides, "distinct numbers in (0, 90]")
        checks.expect(self.folds == 0 or self.folds >= 2, "folds", self.folds, "0 or a number ≥ 2")
        in_range = 0 < self.test_fraction < 1
        checks.expect(in_range, "test_fraction", self.test_fraction, "a number in (0, 1)")
        checks.at_least("neighbours", self.neighbours, 1)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the kinds of split, in the order of the tables."""
        blocks = map(block_split_name, self.block_degrees)
        return (RANDOM, *blocks, *([CONTINENTS] if self.continents else []))


def block_split_name(degrees: float) -> str:
    """Name of the splits that hold out blocks of one size."""
    return f"{degrees:g}° blocks"
