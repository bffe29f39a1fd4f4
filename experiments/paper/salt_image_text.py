"""SALT on images and texts."""

from common import IMAGE, TEXT, salt

experiment = salt(IMAGE, TEXT)
