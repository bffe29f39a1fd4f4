"""Experiments as files: loaded from Python, stored in a run as JSON, compared field by field."""

from __future__ import annotations

import dataclasses
import runpy
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from earth_embed.config import quickstart
from earth_embed.config.experiment import Experiment
from earth_embed.errors import ConfigError

_FREE = ("mesh.", "input.", "optimizer.not_finite")
"""Settings that a resumed run may change: they affect its speed or its reaction to faults, and no
number that it has computed already."""

_DEEPEST = 20
"""Fields inside one another, such as combined encoders of combined encoders."""

PACKAGED = {quickstart.experiment.name: quickstart.experiment}
"""Experiments that come with the package."""


def load_experiment(source: str | Path) -> Experiment:
    """Returns the experiment that a command line names.

        FILE.py         the file's `experiment`
        FILE.py:NAME    an entry of the file's mapping `experiments`
        quickstart      an experiment that comes with the package, unless a file has its name

    Like a script, a file may import its neighbours. They are forgotten afterwards, so the same
    process can load files of the same names from another folder.

    Raises:
        ConfigError: no such file or name, the file fails, or it defines something else.
    """
    path, name = _split_name(str(source))
    if not path.is_file():
        if str(source) in PACKAGED:
            return PACKAGED[str(source)]
        if path.suffix == ".py":
            raise ConfigError(f"no experiment file {str(path)!r}; expected a Python file")
        raise ConfigError(
            f"no experiment {str(source)!r}; expected FILE.py, FILE.py:NAME, or one that comes "
            f"with the package: {', '.join(PACKAGED)}"
        )
    namespace = _run(path)
    if name is not None:
        return _named(path, namespace.get("experiments"), name)
    experiment = namespace.get("experiment")
    if experiment is None and isinstance(several := namespace.get("experiments"), Mapping):
        raise ConfigError(
            f"{path} defines several experiments; expected {path}:NAME with one of "
            f"{', '.join(map(str, several))}"
        )
    if not isinstance(experiment, Experiment):
        raise ConfigError(
            f"{path} must define experiment = Experiment(...), found "
            f"{type(experiment).__name__ if experiment is not None else 'no such name'}"
        )
    return experiment


def to_json(experiment: Experiment) -> dict[str, Any]:
    """The experiment as JSON values; "kind" names the class of a field that may hold several."""
    return cast(dict[str, Any], _plain(Experiment, experiment))


def from_json(values: Any) -> Experiment:
    """Reads what `to_json` writes, and what earlier versions wrote.

    Raises:
        ConfigError: a field is unknown or missing, or a value is not of its type.
    """
    if isinstance(values, dict):
        values = values | {k: read(values[k]) for k, read in _EARLIER.items() if k in values}
    return _build(Experiment, values, "experiment")


def differences(old: Experiment, new: Experiment) -> list[str]:
    """The fields that differ and affect what is computed, as lines "field: old → new"."""
    before, after = _flatten(to_json(old)), _flatten(to_json(new))
    return [
        f"{key}: {before.get(key, 'absent')!r} → {after.get(key, 'absent')!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.startswith(_FREE)
    ]


def _split_name(source: str) -> tuple[Path, str | None]:
    """Splits FILE.py:NAME; the colon of a Windows drive, C:/a.py, belongs to the file."""
    file, colon, name = source.rpartition(":")
    return (Path(file), name) if colon and file.endswith(".py") else (Path(source), None)


def _run(path: Path) -> dict[str, Any]:
    """Runs a Python file beside its neighbours and returns its names."""
    folder = str(path.parent.resolve())
    loaded = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        return runpy.run_path(str(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:
        raise ConfigError(f"{path} failed: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
        for name in set(sys.modules) - loaded:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == Path(folder):
                del sys.modules[name]


def _named(path: Path, experiments: Any, name: str) -> Experiment:
    """One of a file's experiments."""
    if not isinstance(experiments, Mapping):
        raise ConfigError(
            f"{path} must define experiments = {{NAME: Experiment(...), ...}} for {path}:{name}, "
            f"found {type(experiments).__name__ if experiments is not None else 'no such name'}"
        )
    if name not in experiments:
        raise ConfigError(
            f"{path} has no experiment {name!r}; expected one of {', '.join(map(str, experiments))}"
        )
    if not isinstance(experiments[name], Experiment):
        raise ConfigError(
            f"{path}: experiments[{name!r}] must be an Experiment, found "
            f"{type(experiments[name]).__name__}"
        )
    return cast(Experiment, experiments[name])


def _plain(kind: Any, value: Any) -> Any:
    """A value of a declared type as JSON."""
    if isinstance(value, tuple):
        return [_plain(typing.get_args(kind)[0], item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    hints = typing.get_type_hints(type(value))
    fields = {name: _plain(hint, getattr(value, name)) for name, hint in hints.items()}
    return {"kind": type(value).__name__, **fields} if _choices(kind) else fields


def _build(kind: Any, values: Any, where: str) -> Any:
    """Rebuilds a dataclass of the configuration from JSON values."""
    if where.count(".") > _DEEPEST:
        raise ConfigError(f"{where}: expected at most {_DEEPEST} fields inside one another")
    choices = _choices(kind)
    if (choices or dataclasses.is_dataclass(kind)) and not isinstance(values, dict):
        raise ConfigError(f"{where} = {str(values)[:80]!r}: expected an object")
    if choices:
        name = values.get("kind")
        if not isinstance(name, str) or name not in choices:
            found = str(name)[:80]
            raise ConfigError(f"{where}.kind = {found!r}: expected one of {sorted(choices)}")
        rest = {key: value for key, value in values.items() if key != "kind"}
        return _build(choices[name], rest, where)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        unknown = sorted(set(values) - set(hints))
        if unknown:
            raise ConfigError(f"{where} has no field {unknown}; it has {sorted(hints)}")
        try:
            fields = {k: _build(hints[k], v, f"{where}.{k}") for k, v in values.items()}
            return cast(Any, kind)(**fields)
        except TypeError as error:
            raise ConfigError(f"{where}: {error}") from error
    if typing.get_origin(kind) is tuple:
        if not isinstance(values, list):
            raise ConfigError(f"{where} = {str(values)[:80]!r}: expected a list")
        item = typing.get_args(kind)[0]
        return tuple(_build(item, value, f"{where}[{i}]") for i, value in enumerate(values))
    return values


def _choices(kind: Any) -> dict[str, Any]:
    """The dataclasses, by name, of a field declared as a union of them; empty for other fields."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return {}
    inner = [k for k in typing.get_args(kind) if isinstance(k, type)]
    return {k.__name__: k for k in inner if dataclasses.is_dataclass(k)}


def _harmonics_and_siren(values: Any) -> Any:
    """The location encoder, also of runs from when it was always SphericalHarmonics and Siren."""
    if not isinstance(values, dict) or not {"degree", "features"} <= values.keys():
        return values
    rest = {key: value for key, value in values.items() if key not in ("degree", "features")}
    return {
        "kind": "LocationConfig",
        "encoding": {"kind": "SphericalHarmonics", "degree": values["degree"]},
        "network": {"kind": "Siren", **rest},
        "features": values["features"],
    }


def _with_geo_layers(modalities: Any) -> Any:
    """The modalities, also of runs saved when their `geo_layers` were called `layers`."""
    if not isinstance(modalities, list) or not all(isinstance(each, dict) for each in modalities):
        return modalities
    new = {"layers": "geo_layers"}
    return [{new.get(key, key): value for key, value in each.items()} for each in modalities]


_EARLIER = {"location": _harmonics_and_siren, "modalities": _with_geo_layers}


def _flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(values, list) and not (values and isinstance(values[0], dict)):
        return {prefix: values}
    if not isinstance(values, dict | list):
        return {prefix: values}
    items = values.items() if isinstance(values, dict) else enumerate(values)
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
