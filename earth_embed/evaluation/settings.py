"""What an evaluation runs. The attribute docstrings are the command line's `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from earth_embed.errors import Checks

PROBES = ("ridge", "mlp")


RANDOM, CONTINENTS = "random", "continents"


def block_split_name(degrees: float) -> str:
    """The name of the splits that hold out blocks of one size."""
    return f"{degrees:g}° blocks"


@dataclass(frozen=True)
class Settings:
    """Tasks, splits and probes of an evaluation.

    The defaults end in about two minutes on 2 CPU cores for four features of up to 256 dimensions
    at 12,000 places; half of it is the MLP.
    """

    tasks: tuple[str, ...] = ("elevation", "koppen_zone", "log_population", "country")
    """Labels of the package to predict; may be none beside tasks of your own. A layer that
    training showed is refused."""
    seeds: int = 5
    """Random splits and block splits drawn, each with its own seed 0, 1, …"""
    label_counts: tuple[int, ...] = (243, 1000, 10_000)
    """Training labels kept, beside all of them (the paper's counts). A count that a split's
    training part does not exceed is left out: it would be all."""
    probes: tuple[str, ...] = PROBES
    """Probes on the frozen features: "ridge", "mlp"."""
    block_degrees: tuple[float, ...] = (10.0,)
    """Sides of the blocks that are held out whole, each with tables of its own. The maps hold out
    blocks of the first."""
    continents: bool = False
    """Whether each continent is held out in turn as well: that of the country of the nearest
    GeoNames town."""
    folds: int = 0
    """0 for one split a seed, or the number of folds of a cross-validation a seed: each place is
    then tested once a seed, and a seed's score is the mean over its folds."""
    r2_floor: float | None = None
    """A seed's R² is raised to this, so that one failed fit does not rule a mean (CoordBench: -1);
    none by default. results.json keeps what each fit scored."""
    test_fraction: float = 0.2
    """Share of the places held out for testing, and again of the training places for choosing the
    ridge penalty and stopping the MLP."""
    neighbours: int = 50
    """Nearest labels that label interpolation averages."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Checks("evaluation", self)
        distinct = len(set(self.tasks)) == len(self.tasks)
        faults.expect(distinct, "tasks", self.tasks, "distinct tasks")
        faults.at_least("seeds", self.seeds, 1)
        enough = all(count >= 20 for count in self.label_counts)
        faults.expect(enough, "label_counts", self.label_counts, "counts ≥ 20")
        known = bool(self.probes) and set(self.probes) <= set(PROBES)
        known = known and len(set(self.probes)) == len(self.probes)
        faults.expect(known, "probes", self.probes, f"one or more of {PROBES}")
        sides = self.block_degrees
        fine = 0 < len(set(sides)) == len(sides) and all(0 < side <= 90 for side in sides)
        faults.expect(fine, "block_degrees", sides, "distinct numbers in (0, 90]")
        faults.expect(self.folds == 0 or self.folds >= 2, "folds", self.folds, "0 or a number ≥ 2")
        in_range = 0 < self.test_fraction < 1
        faults.expect(in_range, "test_fraction", self.test_fraction, "a number in (0, 1)")
        faults.at_least("neighbours", self.neighbours, 1)
        faults.raise_if_any()

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the ways to hold out places, in the order of the tables."""
        blocks = map(block_split_name, self.block_degrees)
        return (RANDOM, *blocks, *([CONTINENTS] if self.continents else []))
