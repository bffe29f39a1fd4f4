"""Pages that run nothing and ask for nothing."""

import html.parser
from pathlib import Path

import pytest
from markupsafe import Markup
from matplotlib.figure import Figure

import earth_embed
from earth_embed.reports import data_uri, render

TEMPLATES = sorted(Path(earth_embed.__file__).parent.rglob("*.html"))


class Elements(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_a_page_forbids_scripts_and_escapes_text():
    page = render(
        "diagnosis/report.html",
        run="<script>1</script>",
        section=Markup("<section>&amp;</section>"),
        versions={"<b>": "1.0"},
    )
    elements = Elements(page).found
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    meta = {"http-equiv": "Content-Security-Policy", "content": policy}
    tags = [tag for tag, _ in elements]
    # Before the style, which it allows.
    assert tags.index("style") > elements.index(("meta", meta))
    assert not {"script", "b"} & set(tags)
    assert "&lt;script&gt;1&lt;/script&gt;" in page
    assert "<section>&amp;</section>" in page
    assert "font-variant-numeric: tabular-nums" in page


@pytest.mark.parametrize("name", ["diagnosis", "evaluation"])
def test_every_page_extends_the_one_with_the_policy(name):
    page = Path(earth_embed.__file__).parent / name / "report.html"
    assert page.read_text().startswith('{% extends "report.html" %}')


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_template_lets_text_through_unescaped(template):
    source = template.read_text()
    assert "| safe" not in source
    assert "autoescape" not in source
    assert "<script" not in source


def test_a_figure_is_a_png_in_a_data_uri():
    assert data_uri(Figure()).startswith("data:image/png;base64,iVBORw0KGgo")
