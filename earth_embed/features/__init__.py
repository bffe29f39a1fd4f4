"""Frozen encoders of images and texts, their published weights, and caches of their features.

Caches are written here and read by `data/features.py`. Nothing here is trained.
"""
