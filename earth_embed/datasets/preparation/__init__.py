"""Makes large data sets from published files: in pieces, in parallel, resumed and checked.

`index` defines what a data set must provide; pieces, folders and runners are independent of it. No
data set in particular is known here.
"""
