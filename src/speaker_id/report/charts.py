"""Charts as SVG that lives in the page: sharp at every size, coloured by the page's style sheet, light or dark.

Everything a chart is given as text is escaped here, in `tag`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike

WIDTH, HEIGHT = 440, 330  # of the drawing: small, so that its letters stay legible on a telephone
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 48

SHAPES = {
    "circle": "M-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0-8.4 0z",
    "square": "M-3.8-3.8h7.6v7.6h-7.6z",
    "triangle": "M0-4.9L4.6 3.5H-4.6z",
    "diamond": "M0-5.6L5.6 0L0 5.6L-5.6 0z",
}


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """One element; `_` in an attribute's name stands for `-`, and a last one is dropped (`class_`)."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items() if value != ""
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


class Axis(NamedTuple):
    """Data between `low` and `high`; `warp` makes their scale straight (probit, logarithm)."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    label: str
    warp: Callable[[Any], Any] = lambda value: value

    def share(self, values: ArrayLike) -> Any:
        """0 at `low`, 1 at `high`; beyond, at the border."""
        low, high = self.warp(np.float64(self.low)), self.warp(np.float64(self.high))
        inside = np.clip(np.asarray(values, np.float64), self.low, self.high)
        return (self.warp(inside) - low) / (high - low)


class Chart:
    """Two axes and what is drawn between them, in data coordinates; `svg` ends it."""

    def __init__(self, x: Axis, y: Axis, *, height: int = HEIGHT) -> None:
        self.x, self.y, self.height = x, y, height
        self.parts: list[Markup] = []

    def place(self, x: ArrayLike, y: ArrayLike) -> list[tuple[float, float]]:
        left = LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT)
        top = self.height - BOTTOM - self.y.share(y) * (self.height - TOP - BOTTOM)
        return list(zip(np.atleast_1d(left).tolist(), np.atleast_1d(top).tolist(), strict=True))

    def line(self, x: ArrayLike, y: ArrayLike, style: str) -> None:
        if points := "L".join(f"{left:.1f} {top:.1f}" for left, top in self.place(x, y)):
            self.parts.append(tag("path", d=f"M{points}", class_=style))

    def mark(self, x: float, y: float, style: str, tip: str = "", shape: str = "circle", **extra: object) -> None:
        ((left, top),) = self.place(x, y)
        moved = f"translate({left:.1f} {top:.1f})"
        self.parts.append(tag("path", d=SHAPES[shape], transform=moved, class_=style, data_tip=tip, **extra))

    def hover(self, x: ArrayLike, y: ArrayLike, tips: Iterable[str]) -> None:
        """Places that show nothing but what they say when pointed at."""
        for (left, top), tip in zip(self.place(x, y), tips, strict=True):
            self.parts.append(tag("circle", cx=f"{left:.1f}", cy=f"{top:.1f}", r=9, class_="hover", data_tip=tip))

    def svg(self, description: str) -> Markup:
        """`description` is what people hear who do not see it."""
        return self._drawn(f"0 0 {WIDTH} {self.height}", description, "chart", self._axes())

    def bare(self, description: str, style: str) -> Markup:
        """Without axes."""
        box = f"{LEFT - 10} {TOP - 10} {WIDTH - LEFT - RIGHT + 20} {self.height - TOP - BOTTOM + 20}"
        return self._drawn(box, description, f"chart {style}", [])

    def _drawn(self, box: str, description: str, style: str, axes: list[Markup]) -> Markup:
        return tag("svg", *axes, *self.parts, viewBox=box, class_=style, role="img", aria_label=description)

    def _axes(self) -> list[Markup]:
        right, bottom, middle = WIDTH - RIGHT, self.height - BOTTOM, (self.height - BOTTOM + TOP) / 2
        parts = []
        for value, words in self.x.ticks:
            ((left, _),) = self.place(value, self.y.low)
            parts.append(tag("path", d=f"M{left:.1f} {TOP}V{bottom}", class_="grid"))
            parts.append(tag("text", words, x=f"{left:.1f}", y=bottom + 16, text_anchor="middle"))
        for value, words in self.y.ticks:
            ((_, top),) = self.place(self.x.low, value)
            parts.append(tag("path", d=f"M{LEFT} {top:.1f}H{right}", class_="grid"))
            parts.append(tag("text", words, x=LEFT - 7, y=f"{top + 4:.1f}", text_anchor="end"))
        parts.append(tag("path", d=f"M{LEFT} {bottom}H{right}", class_="base"))
        centre = (LEFT + right) / 2
        parts.append(tag("text", self.x.label, x=centre, y=self.height - 8, text_anchor="middle", class_="label"))
        turned = f"translate(13 {middle}) rotate(-90)"
        parts.append(tag("text", self.y.label, transform=turned, text_anchor="middle", class_="label"))
        return parts


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between `low` and `high`, at most `most` of them, evenly spaced."""
    span = max(high - low, 1e-12)
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if span / (factor * power) < most)
    first = np.ceil(low / step - 1e-9)
    return [float(f"{(first + i) * step:.9g}") for i in range(most + 1) if (first + i) * step <= high + 1e-9 * span]


def named(values: Iterable[float]) -> list[tuple[float, str]]:
    return [(value, f"{value:g}") for value in values]
