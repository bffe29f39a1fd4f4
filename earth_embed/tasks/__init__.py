"""What an evaluation predicts: the package's labels, and a user's rasters, polygons and tables.

Reads values at places and says which layers they give away. It knows nothing of embeddings.
"""
