"""How every command reads its options."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import tyro

_TOP_LEVEL = tyro.conf.arg(name="")
"""Fields of the object so marked are options without its prefix; those below keep theirs."""


def parse(kind: Any, arguments: list[str], program: str) -> Any:
    """Parses with tyro; it prints its own messages and exits with status 2."""
    return tyro.cli(kind, args=arguments, prog=program, config=(tyro.conf.AvoidSubcommands,))


def parse_parts(arguments: list[str], program: str, *parts: Any) -> list[Any]:
    """Parses options that belong to several dataclasses, without telling them apart.

    Args:
        arguments: What the user typed.
        program: How the command is called.
        parts: Dataclasses; or objects of one, which are the defaults then.

    Returns:
        An object of each.
    """
    fields: list[Any] = [
        (f"part_{i}", Annotated[part, _TOP_LEVEL])
        if isinstance(part, type)
        else (f"part_{i}", Annotated[type(part), _TOP_LEVEL], dataclasses.field(default=part))
        for i, part in enumerate(parts)
    ]
    parsed = parse(
        dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True),
        arguments,
        program,
    )
    return [getattr(parsed, name) for name, *_ in fields]
