"""What an evaluation predicts: built-in labels, and a user's own rasters, polygons and tables.

Reads values at places and knows which geographic layers they reveal; it knows no embeddings.
"""
