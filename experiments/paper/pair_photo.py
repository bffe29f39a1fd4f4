"""Location and photographs alone."""

from common import PHOTO, pair

experiment = pair(PHOTO)
