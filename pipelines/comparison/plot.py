"""Memorization against quality, one point a run, as SVG that stands alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 24, 16, 48
_LEGEND_COLUMNS, _LEGEND_ROW = 4, 20
_COLOURS = ("#c2410c", "#1d6fa5", "#15803d", "#7e22ce", "#111827", "#be185d", "#0f766e", "#525252")
_STYLE = (
    ".scatter text{font:12px system-ui,sans-serif;fill:#3d454d}.scatter .grid{stroke:#d9dee3}"
    ".scatter .mark{stroke:#3d454d;stroke-dasharray:5 4}.scatter .paper{fill:#fff}"
)


@dataclass(frozen=True)
class Point:
    """A run: x its memorization, a share; y its quality."""

    arm: str
    x: float
    y: float


def scatter(points: Sequence[Point], floor: float, real: float, x_name: str, y_name: str) -> Markup:
    """The plot, the floor as an upright line, what real images reach as a level one.

    Args:
        points: in the arms' order.
        floor: memorization of held-out real images, a share; real: quality of real images.
    """
    arms = list(dict.fromkeys(point.arm for point in points))
    top_x = _round_up(max(floor, *(p.x for p in points)))
    top_y = _round_up(max(real, *(p.y for p in points)))
    base = _HEIGHT - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + value / top_x * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return base - value / top_y * (base - _TOP)

    parts = ['<rect class="paper" width="100%" height="100%"/>']
    for step in range(5):
        at_x, at_y = top_x * step / 4, top_y * step / 4
        parts += [
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(at_y):.1f}" y2="{y(at_y):.1f}"/>',
            f'<text x="{_LEFT - 6}" y="{y(at_y) + 4:.1f}" text-anchor="end">{at_y:.3g}</text>',
            f'<text x="{x(at_x):.1f}" y="{base + 16}" text-anchor="middle">{100 * at_x:.3g} %</text>',
        ]
    parts += [
        f'<line class="mark" x1="{x(floor):.1f}" x2="{x(floor):.1f}" y1="{_TOP}" y2="{base}"/>',
        _beside(x(floor), "floor"),
        f'<line class="mark" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(real):.1f}" y2="{y(real):.1f}"/>',
        f'<text x="{_WIDTH - _RIGHT}" y="{y(real) - 4:.1f}" text-anchor="end">real images</text>',
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{base + 36}" text-anchor="middle">{escape(x_name)}</text>',
        f'<text transform="translate(14 {(_TOP + base) / 2}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>',
    ]
    for point in points:
        parts.append(_marker(arms.index(point.arm), x(point.x), y(point.y)))
    for number, arm in enumerate(arms):
        left = _LEFT + number % _LEGEND_COLUMNS * (_WIDTH - _LEFT) / _LEGEND_COLUMNS
        low = _HEIGHT + number // _LEGEND_COLUMNS * _LEGEND_ROW + 4
        parts += [_marker(number, left, low), f'<text x="{left + 10:.1f}" y="{low + 4:.1f}">{escape(arm)}</text>']
    height = _HEIGHT + -(-len(arms) // _LEGEND_COLUMNS) * _LEGEND_ROW
    return Markup(
        f'<svg class="scatter" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(y_name)} against {escape(x_name)}"><style>{_STYLE}</style>{"".join(parts)}</svg>'
    )


def _beside(x: float, text: str) -> str:
    """A text at an upright line's top, on the side that has room."""
    right = x < _WIDTH - 60
    anchor = "start" if right else "end"
    return f'<text x="{x + (4 if right else -4):.1f}" y="{_TOP + 11}" text-anchor="{anchor}">{text}</text>'


def _marker(number: int, x: float, y: float) -> str:
    """A colour and a shape, different for each of 32 arms."""
    shapes: Sequence[Callable[[], str]] = (
        lambda: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"',
        lambda: f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"',
        lambda: f'<path d="M{x:.1f} {y - 6:.1f}l5.5 10h-11z"',
        lambda: f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"',
    )
    # neighbours in the legend differ in shape and in colour
    shape = shapes[number % len(shapes)]()
    return f'{shape} fill="{_COLOURS[(number + number // 8) % len(_COLOURS)]}" fill-opacity=".75"/>'


def _round_up(value: float) -> float:
    """The next number of 1, 2, 4, 5, 6, 8 times a power of ten: an axis that ends on a round one."""
    if value <= 0:
        return 1.0
    power = 10.0 ** len(str(int(value))) if value >= 1 else 1.0
    while power > value:
        power /= 10
    return next(step * power for step in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)
