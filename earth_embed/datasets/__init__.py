"""Makes this package's data sets.

Small ones come from files inside ordinary Python packages, large ones from published files
(`preparation/`). Training reads them through `data/`; nothing here knows of batches.
"""
