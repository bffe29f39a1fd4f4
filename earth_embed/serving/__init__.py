"""What users do with an encoder: embed a table, draw a map.

Reads and writes users' files. Only the command line imports it.
"""
