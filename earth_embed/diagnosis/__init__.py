"""What limits a run: the geometry of its embeddings, retrieval, and what its loss is made of.

    from earth_embed.diagnosis.run import diagnose_run

Independent of `evaluation/`, which scores a run on tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

from earth_embed.checks import Checked, Checks


@dataclass(frozen=True)
class Settings(Checked, owner="diagnosis"):
    """Sample sizes and the oracle's training. The defaults take about a minute on two CPU cores."""

    examples: int = 1024
    """Maximum number of examples per modality, both of the held-out and of the training set."""
    ks: tuple[int, ...] = (1, 10, 100)
    """Values of k for retrieval@k."""
    oracle_steps: int = 300
    """Training steps of the oracle's free embeddings."""
    oracle_rate: float = 0.01
    """Initial learning rate of the oracle (Adam, cosine decay to 0)."""
    batches: int = 8
    """Training batches over which the cosines between gradients are averaged."""
    seed: int = 0
    """Seed of the draw of examples."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("examples", self.examples, 16)
        good = bool(self.ks) and all(k >= 1 for k in self.ks) and sorted(set(self.ks)) == [*self.ks]
        checks.expect(good, "ks", self.ks, "rising whole numbers ≥ 1")
        checks.at_least("oracle_steps", self.oracle_steps, 1)
        checks.positive("oracle_rate", self.oracle_rate)
        checks.at_least("batches", self.batches, 1)
        checks.at_least("seed", self.seed, 0)
