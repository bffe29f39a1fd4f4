"""MELT on images and texts."""

from common import IMAGE, TEXT, melt

experiment = melt(IMAGE, TEXT)
