"""The README and the pages: what they promise is there, and every link leads somewhere."""

import ast
import importlib
import re
import runpy
from pathlib import Path
from typing import get_args

import pytest

from earth_embed.encoders.positional import Encoding
from earth_embed.geotable import read_geotable

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = ROOT / "docs" / "pages"
SOURCES = [
    README,
    *sorted(PAGES.rglob("*.md")),
    *sorted((PAGES / "notebooks").glob("*.py")),
]

LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s#]+)")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_relative_links_resolve(source):
    text = re.sub(r"```.*?```", "", source.read_text(), flags=re.DOTALL)
    missing = [link for link in LINK.findall(text) if not (source.parent / link).exists()]
    assert not missing


def test_the_readme_is_short():
    assert len(README.read_text().split()) <= 1100


@pytest.mark.parametrize(
    "command",
    [
        'pip install -e ".[quickstart]" && earth-embed train experiments/quickstart.py',
        'pip install -e ".[quickstart,dev]" && pytest -n 2',
    ],
)
def test_the_readme_has_the_commands_of_a_fresh_machine(command):
    assert command in README.read_text().splitlines()


@pytest.mark.parametrize("source", [README, PAGES / "index.md"], ids=lambda path: path.name)
def test_the_table_to_embed_is_there(source):
    (table,) = re.findall(r"^earth-embed embed \S+ (\S+)", source.read_text(), flags=re.MULTILINE)
    _, lonlat = read_geotable(ROOT / table)
    assert len(lonlat) == 10


@pytest.mark.parametrize("source", [README, *sorted(PAGES.rglob("*.md"))], ids=lambda p: p.name)
def test_python_blocks_compile_and_name_what_exists(source):
    for block in re.findall(r"```python\n(.*?)```", source.read_text(), flags=re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("earth_embed"):
                module = importlib.import_module(node.module)
                assert not [name.name for name in node.names if not hasattr(module, name.name)]


@pytest.mark.parametrize("source", sorted((PAGES / "api").glob("*.md")), ids=lambda p: p.name)
def test_the_api_pages_name_what_exists(source):
    for name in re.findall(r"^::: (earth_embed[\w.]*)", source.read_text(), re.MULTILINE):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            module, _, member = name.rpartition(".")
            assert hasattr(importlib.import_module(module), member), name


def test_the_gallery_shows_every_encoding():
    shown = runpy.run_path(str(ROOT / "docs" / "figures" / "gallery.py"))["ENCODINGS"]
    assert {type(encoding) for encoding in shown.values()} == set(get_args(Encoding))
    page = (PAGES / "gallery.md").read_text()
    sections = dict(
        re.findall(r"^## (\w+)\n\n!\[[^]]*\]\(gallery/(\w+)\.png\)", page, re.MULTILINE)
    )
    assert sections == {type(encoding).__name__: name for name, encoding in shown.items()}
