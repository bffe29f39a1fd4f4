"""Pages that run nothing and ask for nothing."""

import html.parser
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from rich.console import Console

import earth_embed
from earth_embed.evaluation.figures import task_maps
from earth_embed.evaluation.report import print_summary
from earth_embed.reports import data_uri, render
from earth_embed.tasks.labels import Target
from tests.evaluation.worlds import places
from tests.fuzzing import fuzz
from tests.pages import made_results, write_page

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


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-2, 4288, ("-2", "4,288")),
        (0, 6.654, ("0.00", "6.65")),
        (-0.04, 0.02, ("-0.0400", "0.0200")),
        (0, 0, ("0", "0")),
        (-1e300, 2e-300, ("-1e+300", "2e-300")),
    ],
)
def test_the_ends_of_a_colour_bar_are_short(low, high, shown):
    values = np.repeat([low, high], 250).astype(float)
    target = Target("height", values, "regression", (), "m", frozenset())
    assert task_maps(places(500), target, values).panels[0].ramp[1:] == shown


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1) | (
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "' onload='alert(1)",
            "</title></style></td><h1>",
            "<!--",
            "]]>",
            "{{ 7 * 7 }}{% raw %}",
            "&lt;b&gt;&amp;",
            "$\\frac{",
            "[/bold][link=x]",
            "\u202e\u0000\x1b[31m",
        ]
    )
)


class Skeleton(html.parser.HTMLParser):
    """The elements of a page and their attributes' names, in order, without any text."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, [key for key, _ in attributes]))

    def handle_endtag(self, tag):
        self.tags.append(tag)

    def handle_comment(self, data):
        self.tags.append("comment")

    handle_pi = unknown_decl = handle_comment


@pytest.fixture
def undrawn(monkeypatch, tmp_path):
    """Reports without the time that figures take, as no name enters one: the elements of each."""
    image = "data:image/png;base64,AAAA"
    themes = {"light": image, "dark": image}
    monkeypatch.setattr("earth_embed.evaluation.report.label_curves", lambda *_: themes)
    monkeypatch.setattr("earth_embed.evaluation.figures._scatter", lambda *_: image)
    monkeypatch.setattr("earth_embed.diagnosis.results.chart", lambda _: themes)
    write_page(tmp_path / "plain.html", lambda role: role)
    return Skeleton((tmp_path / "plain.html").read_text(encoding="utf-8")).tags


@fuzz(100, text=NAMES)
def test_no_name_changes_a_page(text, undrawn, tmp_path):
    """Run, task, class, unit, file, package, modality: text stays text, and arrives whole."""
    path, used = tmp_path / "report.html", set()

    def name(role):
        used.add(text + role)
        return text + role

    write_page(path, name)
    page = path.read_text(encoding="utf-8")
    assert Skeleton(page).tags == undrawn
    assert len(used) > 12
    for each in used:
        assert str(escape(each)) in page


@pytest.mark.parametrize("name", ["[/bold]", "[red]x", "<b>"])
def test_no_name_is_markup_of_the_terminal(name):
    console = Console(width=400, file=io.StringIO())
    print_summary(made_results(lambda role: name + role), console)
    for role in ("run", "also", "zone"):
        assert name + role in console.file.getvalue()
