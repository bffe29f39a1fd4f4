"""What limits a run: its embeddings' shape, what they retrieve, what its loss is made of.

Independent of `evaluation/`, which scores a run on tasks.
"""

from earth_embed.diagnosis.report import read_section
from earth_embed.diagnosis.results import Settings
from earth_embed.diagnosis.run import diagnose_run

__all__ = ["Settings", "diagnose_run", "read_section"]
