"""Tests of preparation on Apache Beam, which the extra `beam` brings; without it not collected."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("apache_beam") else ["test_preparation.py"]
