"""MELT on images and photographs."""

from common import IMAGE, PHOTO, melt

experiment = melt(IMAGE, PHOTO)
