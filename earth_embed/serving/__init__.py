"""What users do with an encoder: embed a table, draw a map.

Reads and writes users' files. Nothing else of the package imports it but the command line.
"""
