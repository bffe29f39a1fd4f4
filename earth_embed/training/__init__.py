"""The training loop and all it needs: checkpoints, records, validation, stopping.

Only `checkpoint.py` imports Orbax. Nothing here decides what a step computes.
"""
