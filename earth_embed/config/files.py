"""Experiments as files: read from Python, stored in the run as JSON, compared field by field."""

from __future__ import annotations

import dataclasses
import runpy
import sys
import types
import typing
from pathlib import Path
from typing import Any, cast

from earth_embed.config.experiment import Experiment
from earth_embed.errors import ConfigError

_FREE = ("mesh.", "input.", "optimizer.not_finite")
"""Settings that a resumed run may change: they decide how fast it goes, or what a fault ends, and
no number that was computed before."""


def load_experiment(path: str | Path) -> Experiment:
    """Runs a Python file and returns the `experiment` that it defines.

    Like a script, the file may import its neighbours; they are forgotten afterwards, so that
    another folder's files of the same names can be loaded by the same process.

    Raises:
        ConfigError: no such file, it fails, or it defines no Experiment named `experiment`.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no experiment file {str(path)!r}; expected a Python file")
    folder = str(path.parent.resolve())
    loaded = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        namespace = runpy.run_path(str(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:
        raise ConfigError(f"{path} failed: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
        for name in set(sys.modules) - loaded:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == Path(folder):
                del sys.modules[name]
    experiment = namespace.get("experiment")
    if not isinstance(experiment, Experiment):
        raise ConfigError(
            f"{path} must define experiment = Experiment(...), found "
            f"{type(experiment).__name__ if experiment is not None else 'no such name'}"
        )
    return experiment


def to_json(experiment: Experiment) -> dict[str, Any]:
    """The experiment as JSON-ready values; a choice of classes carries its own under "kind"."""
    return cast(dict[str, Any], _plain(Experiment, experiment))


def from_json(values: dict[str, Any]) -> Experiment:
    """Reads what `to_json` wrote, also before location encoders were a choice.

    Raises:
        ConfigError: a field is unknown or missing.
    """
    location = values.get("location", {})
    if "degree" in location:
        values = values | {"location": _harmonics_and_siren(location)}
    if "modalities" in values:
        values = values | {"modalities": list(map(_with_geo_layers, values["modalities"]))}
    return _build(Experiment, values, "experiment")


def differences(old: Experiment, new: Experiment) -> list[str]:
    """Every field that differs and matters to what is computed, as lines "field: old → new"."""
    before, after = _flatten(to_json(old)), _flatten(to_json(new))
    return [
        f"{key}: {before.get(key, 'absent')!r} → {after.get(key, 'absent')!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.startswith(_FREE)
    ]


def _plain(kind: Any, value: Any) -> Any:
    """A value as JSON has it, given its declared type."""
    if isinstance(value, tuple):
        return [_plain(typing.get_args(kind)[0], item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    hints = typing.get_type_hints(type(value))
    fields = {name: _plain(hint, getattr(value, name)) for name, hint in hints.items()}
    return {"kind": type(value).__name__, **fields} if _choices(kind) else fields


def _build(kind: Any, values: Any, where: str) -> Any:
    """Rebuilds a dataclass of the configuration from JSON values."""
    choices = _choices(kind)
    if choices:
        name = values.get("kind") if isinstance(values, dict) else None
        if name not in choices:
            raise ConfigError(f"{where}.kind = {name!r}: expected one of {sorted(choices)}")
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
        item = typing.get_args(kind)[0]
        return tuple(_build(item, value, f"{where}[{i}]") for i, value in enumerate(values))
    return values


def _choices(kind: Any) -> dict[str, Any]:
    """The dataclasses, by name, that a field declared as a union of them may hold."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return {}
    inner = [k for k in typing.get_args(kind) if isinstance(k, type)]
    return {k.__name__: k for k in inner if dataclasses.is_dataclass(k)}


def _harmonics_and_siren(values: dict[str, Any]) -> dict[str, Any]:
    """The location encoder of runs saved when it was always SphericalHarmonics and Siren."""
    rest = {key: value for key, value in values.items() if key not in ("degree", "features")}
    return {
        "kind": "LocationConfig",
        "encoding": {"kind": "SphericalHarmonics", "degree": values["degree"]},
        "network": {"kind": "Siren", **rest},
        "features": values["features"],
    }


def _with_geo_layers(modality: dict[str, Any]) -> dict[str, Any]:
    """A modality of runs saved when its `geo_layers` were called `layers`."""
    return {"geo_layers" if key == "layers" else key: v for key, v in modality.items()}


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
