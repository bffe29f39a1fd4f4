"""A user's own evaluation tasks: `NAME=FILE[:FIELD][:FORM]`, from a raster, polygons or a table.

`docs/pages/how-to/tasks.md` documents the form and published files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from earth_embed.errors import ConfigError, DataError
from earth_embed.geotable import read_geotable
from earth_embed.tablefiles import TABLE_SUFFIXES
from earth_embed.tasks.labels import Kind, Labels, Target
from earth_embed.tasks.polygons import IN_NO_POLYGON, POLYGON_SUFFIXES, polygon_of, read_polygons
from earth_embed.tasks.rasters import RASTER_SUFFIXES, pixels_at

FORMS = ("class", "log")

NO_VALUE = "no value"
"""Reason why a polygon or a row of a table gives no value."""

_TABLE_SUFFIXES = tuple(suffix for suffix in TABLE_SUFFIXES if suffix not in POLYGON_SUFFIXES)

_SUFFIXES = "|".join(map(re.escape, (*RASTER_SUFFIXES, *POLYGON_SUFFIXES, *_TABLE_SUFFIXES)))

_TASK = re.compile(
    rf"(?P<name>[A-Za-z0-9_-]+)=(?P<path>.+?({_SUFFIXES}))(:(?P<rest>.*))?", re.IGNORECASE
)


@dataclass(frozen=True)
class Task:
    """A task as the user specifies it.

    Attributes:
        name: Name of the task and of its layer: a run that was shown a layer of this name is
            refused.
        path: A raster, polygons or a table, according to the suffix.
        field: Band of a raster, or column.
        form: "class" reads whole numbers as classes, "log" takes log10(1 + x), "" neither.
    """

    name: str
    path: Path
    field: str
    form: Literal["", "class", "log"] = ""

    @property
    def source(self) -> str:
        """What is read, as reports show it."""
        form = f", {self.form}" if self.form else ""
        return f"{self.path.name}:{self.field}{form}"


def parse_task(text: str) -> Task:
    """Reads `NAME=FILE[:FIELD][:FORM]`.

    Raises:
        ConfigError: the text does not have this form.
    """
    match = _TASK.fullmatch(text)
    is_raster = match is not None and Path(match["path"]).suffix.lower() in RASTER_SUFFIXES
    rest = match["rest"].split(":") if match and match["rest"] is not None else []
    fewest = 0 if is_raster else 1  # a column may be called "class"
    form = rest.pop() if len(rest) > fewest and rest[-1] in FORMS else ""
    field = ":".join(rest)  # a column may have colons in its name
    if is_raster:
        field = field if rest else "1"
        fault = not re.fullmatch("[0-9]{1,6}", field)
    else:
        fault = not field
    if match is None or fault:
        raise ConfigError(
            f"task {text!r}: expected NAME=RASTER[:BAND][:FORM], NAME=POLYGONS:COLUMN[:FORM] or "
            f"NAME=TABLE:COLUMN[:FORM]. NAME is of letters, digits, _ and -; FORM is "
            f"{' or '.join(FORMS)}; a raster ends in {', '.join(RASTER_SUFFIXES)}, polygons in "
            f"{', '.join(POLYGON_SUFFIXES)}, a table in {', '.join(_TABLE_SUFFIXES)}"
        )
    return Task(match["name"], Path(match["path"]), field, form)  # type: ignore[arg-type]


def parse_tasks(texts: Iterable[str]) -> tuple[Task, ...]:
    """Reads several tasks.

    Raises:
        ConfigError: a text is no task, or two tasks share a name.
    """
    tasks = tuple(map(parse_task, texts))
    names = [task.name for task in tasks]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"more than one task is named {', '.join(repeated)}")
    return tasks


def read_task(task: Task, lonlat: np.ndarray) -> Labels:
    """Reads a task's values: of a raster or polygons at the given places, of a table at its own.

    Places without a value are left out and counted in the target.

    Args:
        task: What to read.
        lonlat: (N, 2), degrees; not used for a table.

    Returns:
        The M ≤ N places with a value, and one target.

    Raises:
        DataError: the file is unreadable, does not fit the task, or holds fewer than two distinct
            values at the places.
        CoordinateError: a table's coordinate is missing or out of range.
    """
    suffix = task.path.suffix.lower()
    note = ""
    if suffix in RASTER_SUFFIXES:
        values, fault, note = pixels_at(task.path, int(task.field), lonlat)
    elif suffix in POLYGON_SUFFIXES:
        values, fault = _from_polygons(task, lonlat)
    else:
        lonlat, values, fault = _from_table(task)
    known = fault == ""
    reasons, counts = np.unique(fault[~known], return_counts=True)
    dropped = dict(zip(reasons.tolist(), counts.tolist(), strict=True))
    kind, values, classes = _form(task, values[known])
    if len(np.unique(values)) < 2:
        raise DataError(
            f"task {task.name!r}: expected two values or more at its places, found "
            f"{len(np.unique(values))} at {len(values)} places; left out: {dropped or 'none'}"
        )
    unit = f"log10(1 + {task.field})" if task.form == "log" else task.field
    target = Target(
        name=task.name,
        values=values,
        kind=kind,
        classes=classes,
        unit="" if classes else unit,
        layers=frozenset({task.name}),
        source=f"{task.source}; {note}" if note else task.source,
        dropped=dropped,
    )
    return Labels(lonlat[known], {task.name: target})


def at_the_same_places(parts: Iterable[Labels]) -> list[Labels]:
    """Merges labels at identical places, so that they share splits and decompositions."""
    joined: dict[bytes, Labels] = {}
    for labels in parts:
        key = labels.lonlat.tobytes()
        before = joined[key].targets if key in joined else {}
        joined[key] = Labels(labels.lonlat, before | labels.targets)
    return list(joined.values())


def _from_polygons(task: Task, lonlat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    polygons = read_polygons(task.path, task.field)
    polygon = polygon_of(polygons, lonlat)
    values, missing = _cells(
        task, polygons.drop(columns=polygons.geometry.name).iloc[:, 0].to_numpy()
    )
    fault = np.where(polygon < 0, IN_NO_POLYGON, np.where(missing[polygon], NO_VALUE, ""))
    return values[polygon], fault


def _from_table(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table, lonlat = read_geotable(task.path, [task.field])
    values, missing = _cells(task, table.column(task.field).to_pandas().to_numpy())
    return lonlat, values, np.where(missing, NO_VALUE, "")


def _cells(task: Task, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A column as numbers or as an object array of strings, and which cells are empty."""
    import pandas

    if column.dtype.kind in "iuf":
        return column, ~np.isfinite(column.astype(np.float64))
    known = ~pandas.isna(column)
    for cell in column[known]:
        if not isinstance(cell, str | bool | np.bool_):
            raise DataError(
                f"task {task.name!r}: expected numbers, text or truth values in {task.field!r}, "
                f"found {cell!r}"
            )
    texts = [str(cell) if full else "" for cell, full in zip(column, known, strict=True)]
    return np.array(texts, object), np.array([not text.strip() for text in texts], bool)


def _form(task: Task, values: np.ndarray) -> tuple[Kind, np.ndarray, tuple[str, ...]]:
    """Kind, values and class names of the target."""
    text = values.dtype == object
    if text or task.form == "class":
        if text and task.form == "log":
            raise DataError(f"task {task.name!r}: {task.form!r} expected numbers, found text")
        if not text and (unfit := (np.mod(values, 1) != 0) | (np.abs(values) >= 2.0**63)).any():
            raise DataError(
                f"task {task.name!r}: 'class' expected whole numbers, found "
                f"{values[int(np.argmax(unfit))]:g}"
            )
        found, ids = np.unique(values if text else values.astype(np.int64), return_inverse=True)
        return "classification", ids.astype(np.int64), tuple(map(str, found))
    values = values.astype(np.float64)
    if task.form == "log":
        if values.size and values.min() < 0:
            raise DataError(
                f"task {task.name!r}: 'log' expected numbers ≥ 0, found {values.min():g}"
            )
        values = np.log10(1 + values)
    return "regression", values, ()
