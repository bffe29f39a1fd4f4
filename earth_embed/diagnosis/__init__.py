"""What limits a run: its embeddings' shape, what they retrieve, what the loss is made of."""

from earth_embed.diagnosis.report import read_section
from earth_embed.diagnosis.run import diagnose_run
from earth_embed.diagnosis.settings import Settings

__all__ = ["Settings", "diagnose_run", "read_section"]
