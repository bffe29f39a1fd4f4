"""Scores of a run beside its baselines: splits, probes, intervals and their report.

Embeddings are frozen here. `diagnosis/` finds out what limits a run.
"""
