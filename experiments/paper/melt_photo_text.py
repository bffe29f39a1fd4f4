"""MELT on photographs and texts."""

from common import PHOTO, TEXT, melt

experiment = melt(PHOTO, TEXT)
