"""Published weights of other projects' location encoders, as runs of this one."""

from earth_embed.importing.run import PUBLISHED, import_weights

__all__ = ["PUBLISHED", "import_weights"]
