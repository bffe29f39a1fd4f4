"""Reports as a browser shows them: on a phone and a wide screen, on light and on dark pages."""

import pytest

from tests.browser import NAMES, find_browser, open_browser
from tests.pages import write_page

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason=f"no browser: none of {', '.join(NAMES)} is installed"
)

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

BACKGROUND = "getComputedStyle(document.body).backgroundColor"

# Contrast as WCAG 2 defines it, of every element with text of its own.
CONTRASTS = """
(() => {
  const numbers = css => css.match(/[\\d.]+/g).map(Number);
  const light = css => {
    const [r, g, b] = numbers(css).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const own = element => [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  return [...document.body.querySelectorAll("*")].filter(own).map(element => {
    const pair = [light(getComputedStyle(element).color), light(behind(element))];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  });
})()
"""

IMAGES = "[...document.images].map(i => [i.naturalWidth, i.clientWidth, i.currentSrc.slice(-80)])"

COLUMNS = """
[...document.querySelectorAll(".panels")].map(
  panels => new Set([...panels.children].map(panel => panel.getBoundingClientRect().left)).size)
"""


def hostile(role):
    """Names that would run, load, close or stretch something."""
    return {
        "run": "r" * 120,
        "also": f"also<script>document.title = 'hit'</script>{'long ' * 20}",
        "height": "<img src=https://example.org/x onerror=\"document.title = 'hit'\">",
        "zone": "$\\frac{ 地 </style><h1>",
        "unit": "m" * 90,
        "source": "/a/very/long/" + "path" * 40,
    }.get(role, f'{role}"><b onclick=1>{"w" * 30}')


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(path, hostile, classes=40)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "columns"), [(390, 1), (1280, 3)])
def test_a_report_fits_reads_well_and_keeps_to_itself(browser, page, width, columns, scheme):
    browser.show(page, width, scheme)
    assert browser.evaluate(OVERFLOW) == 0
    contrasts = browser.evaluate(CONTRASTS)
    assert len(contrasts) > 200
    assert min(contrasts) >= 4.5
    bright = int(browser.evaluate(BACKGROUND).split("(")[1].split(",")[0])
    assert bright > 200 if scheme == "light" else bright < 50
    for drawn, shown, _ in browser.evaluate(IMAGES):
        # A chart's text of 9 points is then at least 11 pixels high.
        assert drawn > shown >= 325
    assert max(browser.evaluate(COLUMNS)) == columns
    assert browser.evaluate("document.scripts.length") == 0
    assert "hit" not in browser.evaluate("document.title")
    assert browser.complaints == []


def test_charts_follow_the_theme(browser, page):
    shown = {}
    for scheme in ("light", "dark"):
        browser.show(page, 1280, scheme)
        shown[scheme] = [source for *_, source in browser.evaluate(IMAGES)]
    themed = browser.evaluate("document.querySelectorAll('picture').length")
    differ = [a != b for a, b in zip(*shown.values(), strict=True)]
    assert sum(differ) == themed > 0


def test_the_checks_see_what_they_look_for(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; "
        "style-src 'unsafe-inline'\"><meta name=viewport content='width=device-width'>"
        "<p style='width: 900px; color: #999'>pale</p><img src=https://example.org/x>"
        "<script>document.title = 'hit'</script>"
    )
    browser.show(path, 390, "light")
    assert browser.evaluate(OVERFLOW) > 0
    assert min(browser.evaluate(CONTRASTS)) < 4.5
    assert browser.evaluate("document.title") == ""
    text = str(browser.complaints)
    assert "script" in text
    assert "https://example.org/x" in text
