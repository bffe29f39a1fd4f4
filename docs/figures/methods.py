"""Draws the figure that explains pair, MELT and SALT.

    python docs/figures/methods.py          # writes docs/pages/images/methods.svg

Each panel shows what one method compares. Rows are samples, columns are locations, and a dark
square marks a sample and the place where it was taken.
"""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

OUTPUT = Path(__file__).parents[1] / "pages" / "images" / "methods.svg"

# The figure brings its own light card, so that it reads the same on light and dark pages.
CARD, INK, QUIET, LOCATION = "#fbfaf7", "#22262b", "#6b727b", "#3d4450"
MODALITIES = {"images": "#2f6fb7", "texts": "#c8642b", "series": "#3c8d5a"}
EMPTY = "#e6e4de"


def main() -> None:
    """Draws the three panels side by side."""
    plt.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "methods"})
    figure = plt.figure(figsize=(12, 5.0))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 120), ylim=(0, 50))
    axes.axis("off")
    axes.add_patch(
        FancyBboxPatch(
            (0.6, 0.6), 118.8, 48.8, boxstyle="round,pad=0,rounding_size=1.6", fc=CARD, ec="#d8d5cc"
        )
    )
    pair(axes, 3)
    melt(axes, 38.5)
    salt(axes, 79)
    for x in (36.5, 77):
        axes.plot((x, x), (4, 46), color="#dedbd2", lw=1)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUTPUT, transparent=True, metadata={"Date": None})


def pair(axes: Axes, x: float) -> None:
    """One modality against its own locations."""
    heading(axes, x, "pair", "one modality and its locations")
    blue = ["images"] * 9
    matrix(axes, x + 10.5, 13.5, blue, cell=2.05)
    encoder(axes, x + 1.2, 13.5, 18.45, "images")
    location_encoder(axes, x + 10.5, 18.45, columns=[x + 19.7])
    caption(axes, x, "Each image must pick out its own\nplace among those of the batch.")


def melt(axes: Axes, x: float) -> None:
    """All modalities in one batch, against all of its locations."""
    heading(axes, x, "MELT", "every batch mixes all modalities")
    joint = [name for name in MODALITIES for _ in range(3)]
    matrix(axes, x + 14, 13.5, joint, cell=2.05)
    for i, name in enumerate(MODALITIES):
        encoder(axes, x + 1.2, 13.5 + (2 - i) * 6.15, 6.15, name, arrow_to=x + 13.6)
    location_encoder(axes, x + 14, 18.45, columns=[x + 23.2])
    caption(axes, x, "Each sample must pick out its own place\namong the places of all modalities.")


def salt(axes: Axes, x: float) -> None:
    """One modality at a time, in turns."""
    heading(axes, x, "SALT", "the modalities take turns")
    for i, name in enumerate(MODALITIES):
        left = x + 0.5 + i * 12.6
        matrix(axes, left, 20.6, [name] * 9, cell=1.17)
        encoder(axes, left, 15.8, 3.4, name, width=10.55, upright=False)
        arrow(axes, (left + 5.2, 19.3), (left + 5.2, 20.4))
    location_encoder(axes, x + 0.5, 35.75, columns=[x + 5.7, x + 18.3, x + 30.9])
    arrow(axes, (x + 0.5, 13.4), (x + 36.2, 13.4))
    axes.text(x + 18.3, 11.6, "epochs", color=QUIET, fontsize=9, ha="center", va="center")
    caption(axes, x, "One pair trains at a time; the location\nencoder trains in every phase.")


def heading(axes: Axes, x: float, name: str, what: str) -> None:
    """The panel's title and its one-line gist."""
    axes.text(x, 44.6, name, color=INK, fontsize=17, weight="bold", va="center")
    axes.text(x, 41.1, what, color=QUIET, fontsize=10.5, va="center")


def caption(axes: Axes, x: float, text: str) -> None:
    """What the method asks of a sample."""
    axes.text(x, 5.6, text, color=INK, fontsize=10.5, va="center", linespacing=1.45)


def matrix(axes: Axes, x: float, y: float, rows: list[str], cell: float) -> None:
    """A batch's similarities: row i is a sample, column j a location of the same modality order."""
    count = len(rows)
    for i, j in np.ndindex(count, count):
        colour = MODALITIES[rows[i]]
        if i == j:
            face, alpha = colour, 1.0
        elif rows[i] == rows[j]:
            face, alpha = colour, 0.24
        else:
            face, alpha = EMPTY, 1.0
        corner = (x + j * cell, y + (count - 1 - i) * cell)
        axes.add_patch(Rectangle(corner, cell * 0.9, cell * 0.9, fc=face, alpha=alpha, ec="none"))


def encoder(
    axes: Axes,
    x: float,
    y: float,
    height: float,
    name: str,
    *,
    width: float = 4.6,
    upright: bool = True,
    arrow_to: float | None = None,
) -> None:
    """A modality's encoder, in the modality's colour."""
    box(axes, x, y, width, height - 0.25, MODALITIES[name])
    axes.text(
        x + width / 2,
        y + (height - 0.25) / 2,
        name,
        color="white",
        fontsize=9.5,
        rotation=90 if upright else 0,
        ha="center",
        va="center",
    )
    if upright:
        end = arrow_to if arrow_to is not None else x + width + 4.3
        arrow(axes, (x + width + 0.5, y + height / 2), (end, y + height / 2))


def location_encoder(axes: Axes, x: float, width: float, columns: list[float]) -> None:
    """The shared location encoder, with an arrow down to the middle of each block of columns."""
    box(axes, x, 34.6, width - 0.2, 3.6, LOCATION)
    axes.text(
        x + width / 2, 36.35, "location encoder", color="white", fontsize=9.5,
        ha="center", va="center",
    )  # fmt: skip
    for middle in columns:
        arrow(axes, (middle, 34.2), (middle, 32.4))


def box(axes: Axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    """A filled, rounded box."""
    axes.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.7", fc=colour, ec="none"
        )
    )


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A thin arrow."""
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=QUIET, lw=1.1)
    )


if __name__ == "__main__":
    main()
