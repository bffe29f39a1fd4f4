"""HTML reports: one self-contained file each, without scripts or links.

Templates escape everything except `Markup`. The only `Markup` is the shared style sheet and what
`render` itself returns, so a report consists of its template, escaped text, numbers and PNGs.
"""

from __future__ import annotations

import base64
import io
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure


def render(template: str, **values: Any) -> Markup:
    """Renders a template of the package.

    Args:
        template: Its path below `earth_embed`. A whole page extends "report.html".
        values: What the template shows.
    """
    loader = PackageLoader("earth_embed", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style = Markup(loader.get_source(environment, "report.css")[0])
    return Markup(environment.get_template(template).render(style=style, **values))


def data_uri(figure: Figure) -> str:
    """The figure as a PNG inside a data URI, for the `src` of an image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
