"""Data set "wikipedia": the openings of articles that have a place, from the wikis' own dumps.

The source folder holds, for each language,
- LANGwiki-DATE-geo_tags.sql.gz, the places (see `geo_tags`), and
- LANGwiki_content-DATE-NNNNN.json.bz2, the search index (before 2026 a single file,
  LANGwiki-DATE-cirrussearch-content.json.gz): a line with an article's number, one with its text.

The search index holds plain text that the wikis rendered themselves. The other dumps hold wikitext,
whose templates no other software expands faithfully.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from earth_embed.datasets.geo_tags import Places, read_places
from earth_embed.datasets.preparation.index import Index, MakeFiles, PublishedFiles
from earth_embed.datasets.preparation.pieces import Piece, Skipped, read_record
from earth_embed.errors import DataError
from earth_embed.files import sha256

_GEO_TAGS = re.compile(r"(?P<language>\w+)wiki-\d+-geo_tags\.sql\.gz")
_CONTENT = re.compile(
    r"(?P<language>\w+)wiki(_content-\d+-\d+\.json\.bz2|-\d+-cirrussearch-content\.json\.gz)"
)

TEXT_CHARACTERS = 1000
"""Characters kept of an article that has no separate opening section."""


@dataclass(frozen=True)
class Wikipedia(PublishedFiles):
    """The opening text of each article with a place, in the languages of the folder."""

    NAME: ClassVar = "wikipedia"
    ROWS_PER_FILE: ClassVar = 16_384
    HAS: ClassVar = "an article with a text"
    ABOUT: ClassVar = {
        "description": (
            "Opening sections of Wikipedia articles about places, as plain text, at the primary "
            "coordinates of each article. Made from the dumps of the wikis' search indices and of "
            "their tables geo_tags. Licence of the texts: CC BY-SA 4.0."
        ),
        "homepage": "https://dumps.wikimedia.org",
        "citation": "@misc{wikipedia, title={Wikipedia}, author={{Wikipedia contributors}}}",
    }

    def sample_features(self) -> dict[str, Any]:
        """The text, and the article that it is from."""
        import tensorflow_datasets as tfds

        return {
            "text": tfds.features.Text(doc="The opening section."),
            "title": tfds.features.Text(),
            "language": tfds.features.Text(doc="As in the address of the wiki."),
            "page_id": tfds.features.Scalar(np.int64, doc="Number of the article in its wiki."),
        }

    def fingerprint(self) -> dict[str, Any]:
        """The tables by their SHA-256, the large dumps by name and size."""
        tables, contents = self._dumps()
        return {
            "geo_tags_sha256": {path.name: sha256(path) for path in tables.values()},
            "content_bytes": {
                path.name: path.stat().st_size for paths in contents.values() for path in paths
            },
        }

    def read_index(self, make: MakeFiles) -> Index:
        """Extracts the articles that have a place, once, and lists where each was written."""
        tables, contents = self._dumps()
        keys: list[tuple[str, int]] = []
        lonlat: list[np.ndarray] = []
        skipped: Counter[str] = Counter()
        digest = hashlib.sha256(json.dumps(self.fingerprint()).encode()).hexdigest()[:12]
        for language, table in tables.items():
            places = read_places(table)
            name = f"{language}-{digest}.array_record"
            count = len(contents[language])
            files = make(
                [
                    Piece(language, f"{name}-{i:05}-of-{count:05}", (dump,))
                    for i, dump in enumerate(contents[language])
                ],
                functools.partial(extract, language, places),
            )
            found: dict[int, tuple[str, int]] = {}  # a page may be in the dumps twice
            for file in files:
                for number, article in enumerate(_articles(file)):
                    found.setdefault(article["page_id"], (str(file), number))
            keys += found.values()
            lonlat.append(places.of(list(found)))
            without = len(_without_text(files) - found.keys())
            skipped["without a text"] += without
            skipped["without an article"] += len(places.page_id) - len(found) - without
            skipped += places.skipped
        return Index(keys, np.concatenate(lonlat).astype(np.float32), +skipped)  # + drops zeros

    def sample(self, key: tuple[str, int]) -> dict[str, Any] | Skipped:
        """Reads an extracted article by its file and number."""
        file, number = key
        article: dict[str, Any] = json.loads(_read(_reader(file), file, number, number + 1)[0])
        return article

    def _dumps(self) -> tuple[dict[str, Path], dict[str, list[Path]]]:
        """The geo_tags dump and the search-index dumps of each language."""
        files = sorted(self.source.iterdir()) if self.source.is_dir() else []
        tables: dict[str, Path] = {}
        contents: dict[str, list[Path]] = {}
        for path in files:
            if match := _GEO_TAGS.fullmatch(path.name):
                if (first := tables.setdefault(match["language"], path)) != path:
                    raise DataError(
                        f"{self.source}: expected one geo_tags dump of a language, "
                        f"found {first.name} and {path.name}"
                    )
            elif match := _CONTENT.fullmatch(path.name):
                contents.setdefault(match["language"], []).append(path)
        if not tables or tables.keys() != contents.keys():
            raise DataError(
                f"{self.source}: expected for each language LANGwiki-DATE-geo_tags.sql.gz and "
                "LANGwiki_content-DATE-NNNNN.json.bz2 (or -DATE-cirrussearch-content.json.gz); "
                f"found geo_tags of {', '.join(tables) or 'none'} and contents of "
                f"{', '.join(contents) or 'none'}"
            )
        return tables, contents


LONGEST_LINE = 2**28
"""Longest line that is read, bytes: real articles have up to some megabytes. A small compressed
dump could claim a line of any length; what is cut here is no JSON, which is an error."""


def extract(language: str, places: Places, dumps: Sequence[Path]) -> Iterator[bytes | Skipped]:
    """Streams a wiki's articles that have a place from its search-index dumps, as JSON, in order.

    Raises:
        DataError: a dump is damaged or of another format.
    """
    for dump in dumps:
        try:
            with (bz2.open if dump.suffix == ".bz2" else gzip.open)(dump) as stream:
                lines = iter(functools.partial(stream.readline, LONGEST_LINE), b"")
                for action, document in zip(lines, lines, strict=True):
                    page_id = int(json.loads(action)["index"]["_id"])
                    if page_id not in places:
                        continue  # most articles: their texts need not be parsed
                    article = json.loads(document)
                    text = _text(article)
                    if not text:
                        yield Skipped("without a text", str(page_id))
                        continue
                    said = {
                        "text": text,
                        "title": article["title"],
                        "language": language,
                        "page_id": page_id,
                    }
                    yield json.dumps(said).encode()
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"cannot read {dump}: {error}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{dump}: expected a search index in pairs of lines of JSON: {error!r}"
            ) from error


def _text(article: dict[str, Any]) -> str:
    opening = (article.get("opening_text") or "").strip()
    return opening or (article.get("text") or "")[:TEXT_CHARACTERS].strip()


def _without_text(files: Sequence[Path]) -> set[int]:
    """The pages that the extraction skipped."""
    records = [record for file in files if (record := read_record(file))]
    return {int(page) for record in records for pages in record.skipped.values() for page in pages}


def _articles(file: Path) -> Iterator[dict[str, Any]]:
    """All articles extracted to a file, in order."""
    reader, group = _open(str(file)), 1024
    count = reader.num_records()
    for start in range(0, count, group):
        yield from map(json.loads, _read(reader, str(file), start, min(start + group, count)))


def _read(reader: Any, file: str, start: int, stop: int) -> list[bytes]:
    try:
        records: list[bytes] = reader.read(start, stop)
    except RuntimeError as error:
        raise DataError(f"{file} cannot be read (--verify makes it anew): {error}") from error
    return records


def _open(file: str) -> Any:
    from array_record.python.array_record_module import ArrayRecordReader

    # The options for random access, one record at a time.
    return ArrayRecordReader(file, "readahead_buffer_size:0,max_parallelism:0")


_reader = functools.lru_cache(maxsize=16)(_open)
