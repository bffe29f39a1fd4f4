"""What an evaluation runs. The attribute docstrings are the command line's `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from earth_embed.config.checks import Faults

PROBES = ("ridge", "mlp")


@dataclass(frozen=True)
class Settings:
    """Tasks, splits and probes of an evaluation.

    The defaults end in about two minutes on 2 CPU cores for four features of up to 256 dimensions
    at 12,000 places; half of it is the MLP.
    """

    tasks: tuple[str, ...] = ("elevation", "koppen_zone", "log_population", "country")
    """Labels to predict. A layer that training showed is refused."""
    seeds: int = 5
    """Random splits and block splits drawn, each with its own seed 0, 1, …"""
    label_counts: tuple[int, ...] = (243, 1000, 10_000)
    """Training labels kept, beside all of them (the paper's counts). A count that a split's
    training part does not exceed is left out: it would be all."""
    probes: tuple[str, ...] = PROBES
    """Probes on the frozen features: "ridge", "mlp"."""
    block_degrees: float = 10.0
    """Side of the blocks that are held out whole."""
    test_fraction: float = 0.2
    """Share of the places held out for testing, and again of the training places for choosing the
    ridge penalty and stopping the MLP."""
    neighbours: int = 50
    """Nearest labels that label interpolation averages."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("evaluation", self)
        faults.expect(bool(self.tasks), "tasks", self.tasks, "at least one task")
        distinct = len(set(self.tasks)) == len(self.tasks)
        faults.expect(distinct, "tasks", self.tasks, "distinct tasks")
        faults.at_least("seeds", self.seeds, 1)
        enough = all(count >= 20 for count in self.label_counts)
        faults.expect(enough, "label_counts", self.label_counts, "counts ≥ 20")
        known = bool(self.probes) and set(self.probes) <= set(PROBES)
        known = known and len(set(self.probes)) == len(self.probes)
        faults.expect(known, "probes", self.probes, f"one or more of {PROBES}")
        in_range = 0 < self.block_degrees <= 90
        faults.expect(in_range, "block_degrees", self.block_degrees, "a number in (0, 90]")
        in_range = 0 < self.test_fraction < 1
        faults.expect(in_range, "test_fraction", self.test_fraction, "a number in (0, 1)")
        faults.at_least("neighbours", self.neighbours, 1)
        faults.raise_if_any()
