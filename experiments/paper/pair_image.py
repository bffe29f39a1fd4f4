"""Location and images alone."""

from common import IMAGE, pair

experiment = pair(IMAGE)
