"""Location and texts alone."""

from common import TEXT, pair

experiment = pair(TEXT)
