"""How every command reads its options."""

from __future__ import annotations

from typing import Any

import tyro

TOP_LEVEL = tyro.conf.arg(name="")
"""Fields of the object so marked are options without its prefix; those below keep theirs."""


def parse(kind: Any, arguments: list[str], program: str) -> Any:
    """Parses with tyro; it prints its own messages and exits with status 2."""
    return tyro.cli(kind, args=arguments, prog=program, config=(tyro.conf.AvoidSubcommands,))
