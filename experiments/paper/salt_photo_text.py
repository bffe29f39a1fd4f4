"""SALT on photographs and texts."""

from common import PHOTO, TEXT, salt

experiment = salt(PHOTO, TEXT)
