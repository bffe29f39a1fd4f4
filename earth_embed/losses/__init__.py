"""Contrastive losses, each as a formula on the whole matrix and as a rule for its tiles.

A loss takes embeddings and knows nothing of the towers that made them.
"""
