"""SALT on images, photographs and texts."""

from common import IMAGE, PHOTO, TEXT, salt

experiment = salt(IMAGE, PHOTO, TEXT)
