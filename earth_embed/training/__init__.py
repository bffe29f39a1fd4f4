"""The training loop and what it needs: batches, validation, checkpoints, records, stopping.

Only `checkpoint.py` imports Orbax. Nothing here decides what a step computes.
"""
