"""What a data set made in pieces adds up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earth_embed.data.pieces import Piece, read_record
from earth_embed.errors import DataError


@dataclass(frozen=True)
class Totals:
    """What the records of a folder add up to."""

    lengths: dict[str, list[int]]
    """Examples in each file, by split."""
    example_bytes: Counter[str]
    """By split, before compression."""
    bytes: int
    """Of all files."""
    rows: int
    """Of the index."""
    skipped: Counter[str]
    """Rows without an example, by reason."""

    @classmethod
    def of(cls, folder: Path, pieces: Sequence[Piece], skipped: Counter[str]) -> Totals:
        """Adds up the records.

        Args:
            folder: Where the files are.
            pieces: What they were made from.
            skipped: Rows of the index that are in no piece, by reason.

        Raises:
            DataError: a file is not there.
        """
        lengths: dict[str, list[int]] = {}
        example_bytes: Counter[str] = Counter()
        rows = sum(len(piece.rows) for piece in pieces) + skipped.total()
        skipped = skipped.copy()
        size = 0
        for piece in pieces:
            record = read_record(folder / piece.file)
            if record is None:
                raise DataError(f"{folder / piece.file} was not made; do all workers see {folder}?")
            lengths.setdefault(piece.split, []).append(record.examples)
            example_bytes[piece.split] += record.example_bytes
            skipped.update({reason: len(rows) for reason, rows in record.skipped.items()})
            size += record.bytes
        return cls(lengths, example_bytes, size, rows, skipped)

    @property
    def examples(self) -> Counter[str]:
        """By split."""
        return Counter({split: sum(lengths) for split, lengths in self.lengths.items()})

    def __str__(self) -> str:
        examples = " and ".join(f"{count:,} {split}" for split, count in self.examples.items())
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(self.skipped.items()))
        return (
            f"{examples} examples in {sum(map(len, self.lengths.values()))} files, "
            f"{self.bytes / 1e6:,.1f} MB; skipped {self.skipped.total():,} of {self.rows:,} rows"
            + (f": {reasons}" if reasons else "")
        )
