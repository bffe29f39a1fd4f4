"""Scores of a run beside its baselines: splits, probes, intervals and their report.

Embeddings are frozen here, and nothing trains except probes. `diagnosis/` finds out what limits a
run.
"""
