"""Contrastive losses, each as a formula on the whole similarity matrix and as a rule for its tiles.

A loss takes embeddings and knows nothing about the encoders that made them.
"""
