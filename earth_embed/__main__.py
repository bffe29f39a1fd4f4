"""`python -m earth_embed` is the command `earth-embed`."""

from earth_embed.cli import program

program()
