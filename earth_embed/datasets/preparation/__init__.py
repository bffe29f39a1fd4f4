"""Large data sets made of published files: in pieces, in parallel, resumed and checked.

What a data set says of itself is in `index`; a piece, a folder and a runner know nothing of it.
"""
