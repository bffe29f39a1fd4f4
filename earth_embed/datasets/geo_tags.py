"""Reads the places of Wikipedia's articles from the SQL dumps of the table geo_tags.

LANGwiki-DATE-geo_tags.sql.gz is a dump of MariaDB or MySQL. Its CREATE TABLE statement names the
columns, which have changed over the years, and its INSERT statements hold the rows.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earth_embed.coordinates import check_lonlat
from earth_embed.errors import DataError

_CHUNK = 1 << 20
"""Bytes read at a time."""

_LONGEST_ROW = 1 << 16
"""Bytes. A row of geo_tags has about 100."""

# A quoted string ends at the first quote that is neither escaped nor doubled. The possessive ++
# and *+ never backtrack, so an incomplete row fails at once.
_STRING = rb"'(?:[^'\\]++|\\.|'')*+'"
_VALUE = rb"(?:(?:_binary\s*)?" + _STRING + rb"|[^',()]++)"

_ESCAPE = re.compile(rb"\\(.)|''", re.DOTALL)
_ESCAPED = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a"}


@dataclass(frozen=True)
class Places:
    """The places of one wiki's articles.

    Attributes:
        page_id: (N,) int64, ascending and distinct.
        lonlat: (N, 2) float64, degrees.
        skipped: Number of the table's other rows, by reason.
    """

    page_id: np.ndarray
    lonlat: np.ndarray
    skipped: Counter[str]

    def __contains__(self, page_id: int) -> bool:
        row = np.searchsorted(self.page_id, page_id)
        return bool(row < len(self.page_id) and self.page_id[row] == page_id)

    def of(self, page_ids: list[int]) -> np.ndarray:
        """The places of pages, (N, 2) degrees; each page must have one."""
        return self.lonlat[np.searchsorted(self.page_id, page_ids)]


def read_places(path: Path) -> Places:
    """Reads the primary coordinates on Earth, at most one pair per article, of a gzipped dump.

    Raises:
        DataError: the file is damaged, or is no dump of geo_tags.
    """
    wanted = ("gt_page_id", "gt_globe", "gt_primary", "gt_lat", "gt_lon")
    skipped: Counter[str] = Counter()
    found: dict[int, tuple[float, float]] = {}
    try:
        with gzip.open(path) as stream:
            for page_id, globe, primary, lat, lon in read_rows(stream, "geo_tags", wanted):
                if primary is None or int(primary) != 1:
                    skipped["not primary"] += 1
                elif globe != b"earth":
                    skipped["not on Earth"] += 1
                elif page_id is None or lat is None or lon is None:
                    skipped["without a place"] += 1
                elif not (-90 <= float(lat) <= 90 and -180 <= float(lon) <= 360):
                    skipped["out of range"] += 1
                elif int(page_id) in found:
                    skipped["a further primary place"] += 1
                else:
                    found[int(page_id)] = float(lon), float(lat)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    pages = sorted(found)
    lonlat = np.array([found[page] for page in pages], np.float64).reshape(-1, 2)
    return Places(np.array(pages, np.int64), check_lonlat(lonlat), skipped)


def read_rows(
    stream: io.BufferedIOBase, table: str, columns: tuple[str, ...]
) -> Iterator[tuple[bytes | None, ...]]:
    """Streams columns of a table from an SQL dump.

    Yields:
        The values of each row, as bytes without quotes and escapes; None for NULL.

    Raises:
        ValueError: the stream ends early, lacks the table or a column, or has an unreadable row.
    """
    name = re.escape(table.encode())
    # Statements begin on new lines; inside strings, newlines are escaped.
    buffer = _Buffer(stream)
    create = buffer.find(rb"\nCREATE TABLE `" + name + rb"` \((.*?)\n\)")
    if create is None:
        raise ValueError(f"expected a dump of the table {table}, found no CREATE TABLE of it")
    names = [column.decode() for column in re.findall(rb"^\s*`(\w+)`", create[1], re.MULTILINE)]
    if missing := [column for column in columns if column not in names]:
        raise ValueError(
            f"the table {table} has no column {', '.join(missing)}; it has {', '.join(names)}"
        )
    values = [b"(" + _VALUE + b")" if column in columns else _VALUE for column in names]
    row = re.compile(rb"\s*\(" + rb",\s*".join(values) + rb"\)\s*([,;])", re.DOTALL)
    captured = [column for column in names if column in columns]
    order = [captured.index(column) for column in columns]
    while buffer.find(rb"\nINSERT INTO `" + name + rb"`[^;']*?VALUES") is not None:
        following = b","
        while following == b",":
            *captures, following = buffer.take(row).groups()
            yield tuple(_plain(captures[i]) for i in order)


def _plain(value: bytes) -> bytes | None:
    """A value without its quotes and escapes."""
    value = value.strip()
    if value == b"NULL":
        return None
    if not value.endswith(b"'"):
        return value
    text = value[value.index(b"'") + 1 : -1]
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]) if match[1] else b"'", text)


class _Buffer:
    """A window that moves over a stream."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self._bytes = b""
        self._start = 0

    def find(self, pattern: bytes) -> re.Match[bytes] | None:
        """Moves past the next match; None if there is none before the end."""
        expression = re.compile(pattern, re.DOTALL)
        while (match := expression.search(self._bytes, self._start)) is None:
            self._start = max(self._start, len(self._bytes) - _LONGEST_ROW)
            if not self._more():
                return None
        self._start = match.end()
        return match

    def take(self, expression: re.Pattern[bytes]) -> re.Match[bytes]:
        """Moves past the match that begins here."""
        while (match := expression.match(self._bytes, self._start)) is None:
            whole = len(self._bytes) - self._start > _LONGEST_ROW
            if whole or not self._more():
                start = self._bytes[self._start : self._start + 80].strip()
                problem = "expected a row, found" if whole else "it ends within the rows:"
                raise ValueError(f"{problem} {start!r}")
        self._start = match.end()
        return match

    def _more(self) -> bool:
        chunk = self._stream.read(_CHUNK)
        self._bytes, self._start = self._bytes[self._start :] + chunk, 0
        return bool(chunk)
