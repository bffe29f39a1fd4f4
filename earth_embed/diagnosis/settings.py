"""What a diagnosis looks at. The attribute docstrings are the command line's `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from earth_embed.config.checks import Faults


@dataclass(frozen=True)
class Settings:
    """How much is looked at. The defaults end in about a minute on two CPU cores."""

    examples: int = 1024
    """Examples of each modality, held out and of the training set; fewer where there are fewer."""
    ks: tuple[int, ...] = (1, 10, 100)
    """The k of retrieval@k."""
    oracle_steps: int = 300
    """Steps in which the oracle's free embeddings are trained."""
    oracle_rate: float = 0.01
    """Learning rate of the oracle (Adam), decayed to 0 by a cosine."""
    batches: int = 8
    """Training batches over which the gradients' cosines are averaged."""
    seed: int = 0
    """Which examples are drawn."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("diagnosis", self)
        faults.at_least("examples", self.examples, 16)
        good = bool(self.ks) and all(k >= 1 for k in self.ks) and sorted(set(self.ks)) == [*self.ks]
        faults.expect(good, "ks", self.ks, "rising whole numbers ≥ 1")
        faults.at_least("oracle_steps", self.oracle_steps, 1)
        faults.positive("oracle_rate", self.oracle_rate)
        faults.at_least("batches", self.batches, 1)
        faults.at_least("seed", self.seed, 0)
        faults.raise_if_any()
