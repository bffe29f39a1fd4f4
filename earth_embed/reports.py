"""HTML reports: one self-contained file each, without scripts or links.

Templates escape everything except `Markup`. The only `Markup` is the shared style sheet and what
`render` itself returns, so a report consists of its template, escaped text, numbers and PNGs. Names
are text of the page, never of a figure: they wrap, and follow the reader's light or dark theme.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_INKS = {"light": "#3d444d", "dark": "#c9d1d9"}
"""Theme of the page → colour of a chart's text and axes."""


def render(template: str, **values: Any) -> Markup:
    """Renders a template of the package.

    Args:
        template: Its path below `earth_embed`. A whole page extends "report.html".
        values: What the template shows.
    """
    environment = _environment()
    return Markup(environment.get_template(template).render(**values))


@functools.cache
def _environment() -> Environment:
    loader = PackageLoader("earth_embed", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals["style"] = Markup(loader.get_source(environment, "report.css")[0])
    return environment


def chart(draw: Callable[[Axes, str], None]) -> dict[str, str]:
    """Draws a chart twice, for light pages and for dark ones.

    Args:
        draw: Draws into axes; the colour is the theme's ink.

    Returns:
        "light" and "dark" → PNG as a data URI.
    """
    uris = {}
    for theme, ink in _INKS.items():
        # As wide as a phone's page, so that the text is never shown smaller than it is drawn.
        figure = Figure(figsize=(3.7, 2.6))
        axes = figure.add_axes((0.15, 0.19, 0.82, 0.76), facecolor="none")
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, ink)
        axes.grid(color=ink, alpha=0.15)
        axes.tick_params(which="both", colors=ink, labelsize=9)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set(color=ink, fontsize=9)
        for spine in axes.spines.values():
            spine.set_color(ink)
        uris[theme] = data_uri(figure)
    return uris


def data_uri(figure: Figure) -> str:
    """The figure as a transparent PNG inside a data URI, for the `src` of an image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, transparent=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
