"""How every command reads its options."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import tyro

RunArgument: TypeAlias = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]

OutputFile: TypeAlias = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")]

Which: TypeAlias = Literal["last", "best"]

_TOP_LEVEL = tyro.conf.arg(name="")
"""Options of a nested dataclass so marked have no prefix; those nested deeper keep theirs."""


def optional(default: str, metavar: str) -> Any:
    """How `--help` shows an option that may be None, and what stands for None."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


DataDir: TypeAlias = Annotated[
    Path | None, optional("TFDS_DATA_DIR, else ~/tensorflow_datasets", "DIR")
]

Coordinator: TypeAlias = Annotated[
    str | None,
    optional(
        "EARTH_EMBED_COORDINATOR, else a TPU pod, Slurm step or Kubernetes job, else none",
        "HOST:PORT",
    ),
]

ProcessCount: TypeAlias = Annotated[int | None, optional("EARTH_EMBED_PROCESSES", "INT")]

ProcessNumber: TypeAlias = Annotated[int | None, optional("EARTH_EMBED_PROCESS", "INT")]


def parse(kind: Any, arguments: list[str], program: str, description: str | None = None) -> Any:
    """Parses with tyro, which prints its own messages and exits with status 2.

    Args:
        kind: A dataclass.
        arguments: What the user typed.
        program: The command as the user calls it.
        description: What `--help` says first; None for the dataclass's docstring.
    """
    config = (tyro.conf.AvoidSubcommands,)
    return tyro.cli(kind, args=arguments, prog=program, description=description, config=config)


def parse_parts(
    arguments: list[str], program: str, *parts: Any, description: str | None = None
) -> list[Any]:
    """Parses the options of several dataclasses as if they were one; returns an instance of each.

    A part may itself be an instance, whose values are then the defaults. The other arguments are
    those of `parse`.
    """
    fields: list[Any] = [
        (f"part_{i}", Annotated[part, _TOP_LEVEL])
        if isinstance(part, type)
        else (f"part_{i}", Annotated[type(part), _TOP_LEVEL], dataclasses.field(default=part))
        for i, part in enumerate(parts)
    ]
    options = dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True)
    parsed = parse(options, arguments, program, description)
    return [getattr(parsed, name) for name, *_ in fields]
