"""What limits a run: the geometry of its embeddings, retrieval, and what its loss is made of.

    from earth_embed.diagnosis.run import diagnose_run

Independent of `evaluation/`, which scores a run on tasks.
"""
