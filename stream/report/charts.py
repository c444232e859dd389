"""Charts of a report as SVG: lines over time, and shares as cells."""

from collections.abc import Sequence
from html import escape

import numpy as np

from calibration.arrays import Array

_WIDTH, _LEFT, _RIGHT, _BOTTOM = 940, 120, 20, 26
COLOURS = ("#2878b5", "#e08214", "#1b9e77", "#7b4ea3", "#c0392b", "#6b7a8f", "#b8860b", "#2f4f4f")
"""One a camera, again from the first where there are more."""


def _begin(height: float, seconds: float, title: str) -> list[str]:
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{escape(title, quote=True)}">']
    base = height - _BOTTOM
    for share in np.linspace(0, 1, 6):
        x = _x(float(share))
        parts.append(
            f'<text x="{x:.1f}" y="{base + 18:.1f}" class="tick" text-anchor="middle">{share * seconds:.4g} s</text>'
        )
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{base + 4:.1f}" class="grid"/>')
    return parts


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def cells(rows: Array, names: Sequence[str], seconds: float, most: float, title: str) -> str:
    """A row of cells a name, dark where the value is ``most`` and light at 0; NaN is empty."""
    high = 15
    parts = _begin(high * len(rows) + _BOTTOM, seconds, title)
    wide = (_x(1) - _x(0)) / rows.shape[1]
    for r, (name, values) in enumerate(zip(names, rows, strict=True)):
        parts.append(f'<text x="{_LEFT - 8}" y="{r * high + 11}" class="name" text-anchor="end">{escape(name)}</text>')
        # Cells of one value are one rectangle: most are.
        levels = np.where(np.isfinite(values), np.round(10 * np.clip(np.nan_to_num(values) / most, 0, 1)), -1).astype(
            int
        )
        start = 0
        for k in range(1, len(levels) + 1):
            if k < len(levels) and levels[k] == levels[start]:
                continue
            if levels[start] >= 0:
                x, w = _x(0) + start * wide, (k - start) * wide
                shade = 0.06 + 0.94 * levels[start] / 10
                parts.append(f'<rect x="{x:.1f}" y="{r * high + 1}" width="{w:.1f}" height="{high - 2}"'
                             f' fill="{COLOURS[0]}" fill-opacity="{shade:.2f}"/>')  # fmt: skip
            start = k
    return "".join([*parts, "</svg>"])


def lines(series: Sequence[Array], names: Sequence[str], seconds: float, title: str) -> str:
    """A line a name, of values from 0 to 1; broken where they are NaN."""
    height, parts = 200, []
    parts = _begin(height, seconds, title)
    base = height - _BOTTOM
    for share in (0.0, 0.5, 1.0):
        y = base - share * (base - 8)
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" class="tick" text-anchor="end">{share:.0%}</text>')
    for number, values in enumerate(series):
        points, colour = [], COLOURS[number % len(COLOURS)]
        for k, value in enumerate([*values, np.nan]):
            if np.isfinite(value):
                points.append(f"{_x((k + 0.5) / len(values)):.1f},{base - min(max(value, 0), 1) * (base - 8):.1f}")
            elif points:
                parts.append(
                    f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
                )
                points = []
    parts.append("</svg>")
    keys = "".join(
        f'<span class="key"><i style="background:{COLOURS[k % len(COLOURS)]}"></i>{escape(name)}</span>'
        for k, name in enumerate(names)
    )
    return "".join(parts) + f"<p>{keys}</p>"
