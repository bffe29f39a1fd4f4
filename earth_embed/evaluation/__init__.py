"""Scores of a run beside its baselines: splits, probes, intervals and their report.

Embeddings are frozen here. What limits a run is the business of `diagnosis/`.
"""
