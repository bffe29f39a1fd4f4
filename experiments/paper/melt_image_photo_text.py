"""MELT on images, photographs and texts."""

from common import IMAGE, PHOTO, TEXT, melt

experiment = melt(IMAGE, PHOTO, TEXT)
