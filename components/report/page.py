"""The report as one self-contained page without script."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from ..data.forgotten import LeftOut
from ..measures.captions import CAPTIONS
from ..measures.prompt_figures import WorstPrompt
from ..measures.verdict import cited, copy_threshold, rank
from .charts import histogram, line, watched
from .figures import Figures, Histogram, Pair
from .prompt_tables import counted, told_apart, values_by_kind
from .tables import copy_groups, quality_groups, round_table, similarity_rows, watch_table, watched_figure
from .wording import (
    WORDS,
    asked_for,
    ceiling_sentence,
    floor_choice,
    images_of,
    interval,
    measure_name,
    percent,
    pixels_alone,
    sampled_by,
    search_sentence,
    what_trained,
)

LIMIT_BYTES = 1_900_000
"""A page stays below this: what a Kubeflow artifact, a mail or a CI summary takes, with room to spare."""
_SIDES = (128, 96, 64, 48, 32, 24, 16, 8)
_MOST_CHARACTERS = 300
"""Of a caption that is shown."""


@dataclass(frozen=True)
class Pictures:
    """Images that a page may show, uint8 [C, H, W] each.

    Attributes:
        pairs: a generated image, its nearest and its second nearest training image.
        prompts: a caption, its own image, and images that were generated for it.
        samples: random generated images.
        previews: by the number of rounds that the model had, images from the same noise; None for one that
            is not shown.
        withheld: how many generated images are never shown on this page, being near-copies; None
            where nothing is withheld.
        left_out: samples that deletion requests kept out, by name.
    """

    pairs: Sequence[tuple[Pair, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]] = ()
    prompts: Sequence[tuple[WorstPrompt, NDArray[np.uint8], Sequence[NDArray[np.uint8]]]] = ()
    samples: Sequence[NDArray[np.uint8]] = ()
    previews: Mapping[int, Sequence[NDArray[np.uint8] | None]] = field(default_factory=dict)
    withheld: int | None = None
    left_out: Sequence[LeftOut] = ()


def page(figures: Figures, pictures: Pictures) -> bytes:
    """The page in UTF-8, below `LIMIT_BYTES`: pictures become smaller, and at last are left out, until it fits."""
    for side in _SIDES:
        html = _render(figures, pictures, side)
        if len(html) < LIMIT_BYTES:
            return html
    return _render(figures, Pictures(), _SIDES[-1])


def _render(figures: Figures, pictures: Pictures, side: int) -> bytes:
    """
    Args:
        side: most pixels of a picture's height.
    """
    history = figures.rounds
    curves = [
        ("Loss", [r.loss for r in history], False),
        ("Skipped visits", [r.skip_rate for r in history], True),
        *([("Lost visits", [r.lost_share for r in history], True)] if any(r.lost for r in history) else []),
        ("Augmented visits", [r.augmented_share for r in history], True),
        ("Samples moved before the round", [float(r.moved) for r in history], False),
    ]
    html = _template().render(
        figures=figures,
        headline=figures.headline,
        provenance=figures.provenance,
        quality=figures.quality,
        cited=cited(figures.memorization),
        attack=next((m for m in figures.memorization if m.measure == "extraction"), None),
        copy_groups=copy_groups(figures),
        quality_groups=quality_groups(figures),
        floor_choice=floor_choice(figures),
        search=search_sentence(figures.searched) if figures.searched else None,
        ceiling=ceiling_sentence(cited(figures.memorization)),
        ceiling_figures=[f for f in sorted(figures.memorization, key=rank) if f.ceiling and f.aware],
        deciding=[measure_name(m) for m in sorted(figures.memorization, key=rank) if m.decides],
        pixels_alone=pixels_alone(figures.config, figures.resolution),
        descriptor=figures.descriptor,
        similarities=similarity_rows(figures.descriptor),
        margin=figures.config["evaluate"].get("margin", 0.01),
        histograms=[
            ("augmentation-aware" if h.aware else "plain", bars(h))
            for h in sorted(figures.histograms, key=lambda h: not h.aware)
        ],
        watch_table=watch_table(figures),
        watch_charts=_watch_charts(figures),
        round_table=round_table(figures),
        curves=[(name, line(values, name, share)) for name, values, share in curves if values],
        pairs=[(pair, *(data_uri(image, side) for image in images)) for pair, *images in pictures.pairs],
        prompt_count=counted(figures.prompts) if figures.prompts else "",
        prompt_tables=[of(figures.prompts) for of in (told_apart, values_by_kind)] if figures.prompts else [],
        worst_prompts=[
            (worst, data_uri(own, side), [data_uri(image, side) for image in generated])
            for worst, own, generated in pictures.prompts
        ],
        left_out=pictures.left_out,
        samples=[data_uri(image, side) for image in pictures.samples],
        previews=[
            (number, [None if image is None else data_uri(image, side) for image in images])
            for number, images in sorted(pictures.previews.items())
            if not figures.provenance.subject
        ],
        withheld=pictures.withheld,
        withheld_below=copy_threshold(figures.memorization, True),
        asked_for=asked_for(figures.config),
        sampled_by=sampled_by(figures.config),
        what_trained=None if figures.provenance.subject else what_trained(figures.config, history),
        config=_config_lines(figures.config),
        duration=_duration(figures.provenance.duration_s),
    )
    return html.encode()


def bars(ratios: Histogram) -> Markup:
    """MQ ratios of generated images, beside those of held-out ones where there are such."""
    held_out = [("floor", ratios.floor)] if ratios.floor is not None else []
    return histogram(ratios.edges, [("generated", ratios.generated), *held_out], "Histogram of MQ ratios")


def _watch_charts(figures: Figures) -> list[tuple[str, Markup]]:
    """Near-copies and quality of every model that was looked at."""
    if not figures.watched:
        return []
    source, metrics = figures.provenance, [look.metrics for look in figures.watched]
    released = source.rounds if source.released is None else source.released
    shown = [("Near-copies", watched_figure(figures), "_floor", True)]
    if figures.quality:
        shown.append((figures.quality.frechet_name, figures.quality.frechet_metric, "_real", False))
    charts = []
    for title, name, real, share in shown:
        values = [(look.model, look.metrics[name]) for look in figures.watched if name in look.metrics]
        if values:
            label, beside = f"{title} by rounds of training", metrics[0].get(name + real)
            charts.append((title, watched(values, beside, released, source.rounds, label, share)))
    return charts


@cache
def _template() -> Template:
    environment = page_environment()
    environment.filters["percent"] = lambda share: _tied(percent(share))
    environment.filters["interval"] = lambda share: _tied(interval(share))
    environment.filters["measure"] = measure_name
    environment.filters["images_of"] = images_of
    environment.filters["tied"] = _tied
    environment.filters["shortened"] = _shortened
    environment.globals |= {"words": WORDS, "captions": CAPTIONS, "top_share": _top_share}
    return environment.get_template("report.html.j2")


def _top_share(worst: WorstPrompt) -> float:
    """The largest share of a token."""
    return max((share for _, share in worst.tokens), default=0.0) or 1.0


def page_environment() -> Environment:
    """Where templates of pages are made: `style` is what all pages share, colours, type, pictures."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_file),
    )
    style = _file("page.css")
    environment.globals |= {"style": Markup(style)}
    return environment


def _file(name: str) -> str:
    """A template, or the part of one, such as sections/pairs.html.j2."""
    return resources.files("unecho.components.report").joinpath(name).read_text()


def _tied(text: str) -> str:
    """A number and its per cent sign stay on one line."""
    return text.replace(" %", "\u00a0%")


def _shortened(text: str) -> str:
    """A caption, of a long one the beginning: a model reads some 75 tokens, and the page is to be read by people."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS].rstrip()}…"


def _config_lines(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            lines += _config_lines(value, f"{prefix}{name}.")
        else:
            lines.append((prefix + name, json.dumps(value, ensure_ascii=False)))
    return lines


def _duration(seconds: float | None) -> str:
    return "unknown" if seconds is None else str(timedelta(seconds=round(seconds)))


def data_uri(image: NDArray[np.uint8], largest: int) -> str:
    """An image as a data: address; pixels stay pixels, a larger image is averaged down.

    Args:
        image: [C, H, W], one channel or three.
        largest: most pixels of its height.
    """
    picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    if picture.height > largest:
        width = max(1, round(picture.width * largest / picture.height))
        picture = picture.resize((width, largest), Image.Resampling.BOX)
    png = io.BytesIO()
    picture.save(png, "PNG", compress_level=9)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()


def split_strip(png: bytes, channels: int) -> NDArray[np.uint8]:
    """The images of a preview strip, uint8 [n, C, H, W]."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L" if channels == 1 else "RGB"))
    strip = pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1)
    height, count = strip.shape[1], strip.shape[2] // strip.shape[1]
    tiles = strip[:, :, : count * height].reshape(channels, height, count, height)
    return np.ascontiguousarray(tiles.transpose(2, 0, 1, 3))
