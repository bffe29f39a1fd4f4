"""SALT on images and photographs."""

from common import IMAGE, PHOTO, salt

experiment = salt(IMAGE, PHOTO)
