"""CSV read strictly, as text cells with line numbers, and text cells written as CSV."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from earth_embed.errors import DataError

if TYPE_CHECKING:
    import pyarrow

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""Recognised separators, and their names in messages. Commas win a tie."""

_GBIF = re.compile("gbifID\t")
"""How GBIF's downloads begin. Their quotes are letters like any other."""

_BLOCK = 1 << 24
"""Bytes that Arrow parses at a time. No row may be longer."""

_PART = 1024
"""Rows that become Arrow columns at a time."""

_WIDER = (("int64", "double"), ("date32[day]", "timestamp[s]"))
"""Pairs of types of which the second reads every cell of the first."""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file: UTF-8 with or without a byte order mark, with a header, any line ends.

    Attributes:
        path: The file.
        separator: What separates its cells.
        has_quotes: Whether cells may be in quotes: everywhere but in GBIF's downloads.
        names: The columns, without surrounding spaces.
        first: The first row as it was written, shortened; "" if there is none.
    """

    path: Path
    separator: str
    has_quotes: bool
    names: list[str]
    first: str

    @classmethod
    def open(cls, path: Path) -> CsvFile:
        """Reads the header and recognises the separator: tabs in .tsv, else the most frequent.

        Raises:
            DataError: the file is empty, or its first line is broken or not UTF-8.
        """
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            line = next((line for line in file if line.strip()), "")
        unquoted = re.sub('"[^"]*("|$)', "", line)
        tabs = path.suffix.lower() == ".tsv"
        separator = "\t" if tabs else max(SEPARATORS, key=unquoted.count)
        has_quotes = _GBIF.match(line) is None
        lines = _rows(path, separator, has_quotes)
        header = next(lines, None)
        if header is None:
            raise DataError(f"cannot read {path}: Empty CSV file")
        number, names = header
        if _undecoded(names):
            raise DataError(f"cannot read {path}, line {number}: it is not UTF-8")
        try:
            first = separator.join(next(lines, (0, []))[1])
        except DataError:  # raised again where the rows are read
            first = ""
        return cls(path, separator, has_quotes, [name.strip() for name in names], _short(first))

    def batches(self, size: int) -> Iterator[pyarrow.Table]:
        """Reads up to `size` rows at a time; every column holds strings, as they were written.

        Raises:
            DataError: a quote is not closed, a row has too many or too few cells or is not UTF-8.
                The message names the line.
        """
        import pyarrow

        records = _rows(self.path, self.separator, self.has_quotes)
        next(records)  # the header
        parts: list[pyarrow.Table] = []
        count = 0
        # In small parts: Python's garbage collector is slow where many lists are alive.
        while part := list(itertools.islice(records, min(_PART, size - count))):
            parts.append(self._table(part))
            count += len(part)
            if count == size:
                yield pyarrow.concat_tables(parts)
                parts, count = [], 0
        if parts:
            yield pyarrow.concat_tables(parts)

    def _table(self, records: list[tuple[int, list[str]]]) -> pyarrow.Table:
        import pyarrow

        for line, row in records:
            if len(row) != len(self.names):
                raise DataError(
                    f"cannot read {self.path}, line {line}: Expected {len(self.names)} columns, "
                    f"got {len(row)}: {_short(self.separator.join(row))!r} (separated by "
                    f"{SEPARATORS[self.separator]}; the header is {', '.join(self.names)})"
                )
        schema = pyarrow.schema([(name, pyarrow.string()) for name in self.names])
        columns = zip(*(row for _, row in records), strict=True)
        try:
            return pyarrow.Table.from_arrays(list(map(pyarrow.array, columns)), schema=schema)
        except UnicodeEncodeError:
            bad = next(line for line, row in records if _undecoded(row))
            raise DataError(f"cannot read {self.path}, line {bad}: it is not UTF-8") from None


def _rows(path: Path, separator: str, has_quotes: bool) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not a blank line, with the number of its first line, from 1."""
    # Bytes that are not UTF-8 become lone surrogates, so that their line can be named.
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.reader(
            file,
            delimiter=separator,
            quoting=csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE,
            strict=True,
        )
        line = 1
        try:
            for row in reader:
                if row:
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            reason = str(error)
            if "unexpected end" in reason:
                reason = "a quote is opened but not closed"
            elif "expected after" in reason:
                reason = 'a quoted cell goes on after its closing quote (a quote within is "")'
            elif "limit" in reason:
                reason = f"a cell has more than {csv.field_size_limit():,} characters, or a quote "
                reason += "is not closed"
            raise DataError(f"cannot read {path}, line {line}: {reason}") from None


def _undecoded(cells: list[str]) -> bool:
    return any("\ud800" <= character <= "\udfff" for cell in cells for character in cell)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def quoted(cells: pyarrow.Array) -> pyarrow.Array:
    """Text cells in quotes where CSV needs them, as Python's `csv.writer` does."""
    from pyarrow import compute

    unsafe = compute.match_substring_regex(cells, '[,"\r\n]')
    if not compute.any(unsafe).as_py():
        return cells
    doubled = compute.replace_substring(cells, '"', '""')
    return compute.if_else(unsafe, compute.binary_join_element_wise('"', doubled, '"', ""), cells)


def joined(columns: list[pyarrow.Array]) -> memoryview:
    """The lines of a CSV file, UTF-8, from columns of cells that are quoted already."""
    import numpy as np
    from pyarrow import compute

    ends = compute.binary_join_element_wise(columns[-1], "\r\n", "")
    lines = compute.binary_join_element_wise(*columns[:-1], ends, ",")
    _, offsets, text = lines.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[lines.offset, lines.offset + len(lines)]]
    return memoryview(text)[first:last]


def typed(
    batches: Iterable[pyarrow.Table], types: dict[str, pyarrow.DataType] | None = None
) -> pyarrow.Table:
    """Text columns as columns of the given types, or else of those that `pyarrow.csv` infers."""
    import pyarrow
    from pyarrow import csv as arrow_csv

    # Written again, since two parsers never agree on all that is unusual.
    sink, names = pyarrow.BufferOutputStream(), []
    for batch in batches:
        names = batch.column_names
        for part in batch.to_batches(max_chunksize=_PART):  # a column of text holds 2 GiB at most
            sink.write(joined([quoted(cells) for cells in part.columns]))
    return arrow_csv.read_csv(
        pyarrow.BufferReader(sink.getvalue()),
        arrow_csv.ReadOptions(column_names=names, block_size=_BLOCK),
        arrow_csv.ParseOptions(newlines_in_values=True),
        arrow_csv.ConvertOptions(column_types=types),
    )


def widest(first: pyarrow.DataType, second: pyarrow.DataType) -> pyarrow.DataType:
    """The type for the cells of two parts of a CSV column, of which each has its own type."""
    import pyarrow

    if first == second or pyarrow.types.is_null(second):
        return first
    if pyarrow.types.is_null(first):
        return second
    for narrow, wide in _WIDER:
        if {str(first), str(second)} == {narrow, wide}:
            return first if str(first) == wide else second
    return pyarrow.string()
