"""Charts as inline SVG: a few hundred bytes each, no script, colours from the page's style."""

from collections.abc import Sequence

from markupsafe import Markup

_WIDTH, _HEIGHT = 340, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 22
_MOST_POINTS = 200


def histogram(edges: Sequence[float], series: Sequence[tuple[str, Sequence[int]]], label: str) -> Markup:
    """Bars side by side, each series as shares of its own total.

    Args:
        edges: bins + 1, ascending.
        series: (CSS class, counts a bin).
        label: what a screen reader says.
    """
    shares = [(style, [count / max(1, sum(counts)) for count in counts]) for style, counts in series]
    top = max((max(s) for _, s in shares), default=0.0) or 1.0
    bars = []
    for place, (style, values) in enumerate(shares):
        for number, value in enumerate(values):
            if not value:
                continue
            left, right = (_x(e, edges[0], edges[-1]) for e in edges[number : number + 2])
            wide = (right - left - 1) / len(shares)
            y = _y(value, 0, top)
            bars.append(
                f'<rect class="{style}" x="{left + 0.5 + place * wide:.1f}" y="{y:.1f}" width="{wide:.1f}" '
                f'height="{_y(0, 0, top) - y:.1f}"/>'
            )
    ticks = [(value, f"{value:g}") for value in (edges[0], (edges[0] + edges[-1]) / 2, edges[-1])]
    return _chart("".join(bars), ticks, (edges[0], edges[-1]), ((0, "0"), (top, f"{100 * top:.0f} %")), (0, top), label)


def line(values: Sequence[float], label: str, percent: bool = False) -> Markup:
    """A curve over rounds; more than 200 rounds are averaged in groups.

    Args:
        values: one a round, from round 0.
        percent: whether values are shares, to be written in per cent.
    """
    points = _thinned(values)
    low, high = min(0.0, *values), max(values)
    if high == low:
        high = low + 1.0
    last = max(1, len(values) - 1)
    path = " ".join(f"{_x(x, 0, last):.1f},{_y(y, low, high):.1f}" for x, y in points)
    body = f'<polyline class="curve" points="{path}"/>'
    if len(points) <= 30:
        body += "".join(
            f'<circle class="dot" cx="{_x(x, 0, last):.1f}" cy="{_y(y, low, high):.1f}" r="2.5"/>' for x, y in points
        )
    rounds = [(0, "0")] + ([(last, str(len(values) - 1))] if len(values) > 1 else [])
    ticks = [(value, f"{100 * value:.3g} %" if percent else f"{value:.3g}") for value in (low, high)]
    return _chart(body, rounds, (0, last), ticks, (low, high), label)


def watched(
    values: Sequence[tuple[int, float]], real: float | None, released: int, last: int, label: str, percent: bool = False
) -> Markup:
    """A figure of models, what real images have as a line across, the released model as a line down.

    Args:
        values: (model, value), ascending; at least one.
        real: None where there is none.
        released: the model that is released; last: the one that the rounds have ended with.
        percent: whether values are shares, to be written in per cent.
    """
    high = max(*(value for _, value in values), real or 0.0) or 0.01
    end = max(1, last)
    points = [(_x(model, 0, end), _y(value, 0, high)) for model, value in values]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    down = f"{_x(released, 0, end):.1f}"
    body = f'<line class="released" x1="{down}" x2="{down}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
    if real is not None:
        across = f"{_y(real, 0, high):.1f}"
        body += f'<line class="floor-line" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{across}" y2="{across}"/>'
    body += f'<polyline class="curve" points="{path}"/>'
    body += "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points)
    ticks = [(0.0, "0 %" if percent else "0"), (high, f"{100 * high:.3g} %" if percent else f"{high:.3g}")]
    return _chart(body, [(0, "0"), (end, str(end))], (0, end), ticks, (0, high), label)


def _thinned(values: Sequence[float]) -> list[tuple[float, float]]:
    group = -(-len(values) // _MOST_POINTS)
    points = []
    for start in range(0, len(values), group):
        some = values[start : start + group]
        points.append((start + (len(some) - 1) / 2, sum(some) / len(some)))
    return points


def _chart(
    body: str,
    x_ticks: Sequence[tuple[float, str]],
    x_range: tuple[float, float],
    y_ticks: Sequence[tuple[float, str]],
    y_range: tuple[float, float],
    label: str,
) -> Markup:
    marks = []
    for value, text in y_ticks:
        y = _y(value, *y_range)
        marks.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        marks.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for value, text in x_ticks:
        x = _x(value, *x_range)
        anchor = "end" if x > _WIDTH - 30 else "middle"
        marks.append(f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{text}</text>')
    # every part is made of numbers and of the names above; only the label is text from elsewhere
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, label, Markup("".join(marks) + body)
    )


def _x(value: float, low: float, high: float) -> float:
    return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, low: float, high: float) -> float:
    return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP)
