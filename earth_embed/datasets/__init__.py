"""The data sets of this package: how each is made, and where it may draw its places.

Some are made of files that ordinary packages carry, the large ones of published files
(`preparation/`). Training reads them through `data/`; nothing here knows of batches.
"""
