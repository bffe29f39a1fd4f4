"""Real spherical harmonics up to L = 1024, alone or fused with the dense layer after them.

Start with `basis`. It chooses between `products` (L ≤ 128) and `streamed`, which runs `recurrence`.
Settings and normalisations of published encoders are in `encoders/positional/harmonics.py`.
"""
