import io
import re
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from unecho.components.evaluate.step import evaluate
from unecho.components.progress import Silent
from unecho.components.report.charts import line
from unecho.components.report.figures import Figures, Pair, load_figures
from unecho.components.report.page import Pictures, data_uri, page, split_strip
from unecho.components.report.tables import aligned, figure_groups, figure_table
from unecho.components.run import Run
from unecho.components.store import fetch

MB = 2_000_000


class Reader(HTMLParser):
    """Collects what a browser would run or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"):
                self.fetched.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


def figures_of(run: Run) -> Figures:
    return load_figures(run, evaluate(run, Silent()))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_both_pages_are_self_contained_script_free_and_small(planted: Callable[..., Run]):
    run = planted()
    record = evaluate(run, Silent())
    for name in ("report.html", "shared.html"):
        data = fetch(run.store, record.objects[name])
        assert len(data) < MB
        reader = Reader()
        reader.feed(data.decode())
        assert not reader.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not reader.handlers
        assert all(address.startswith("data:image/png;base64,") for address in reader.fetched)
        assert not re.search(r"https?://|url\(|@import", data.decode())


def test_text_from_elsewhere_is_text_and_nothing_else(planted: Callable[..., Run]):
    figures = figures_of(planted())
    evil = '"><script>alert(1)</script>'
    image = noise(1, 8, 8)
    pair = Pair(generated=1, nearest=2, second=3, nearest_name=evil, second_name=evil, ratio=0, second_ratio=0)
    reader = Reader()
    reader.feed(page(figures, Pictures(pairs=[(pair, image, image, image)])).decode())
    assert "script" not in reader.tags


def test_a_page_stays_small_whatever_its_pictures_and_rounds(planted: Callable[..., Run]):
    figures = figures_of(planted())
    figures = figures.model_copy(update={"rounds": figures.rounds * 5000})
    image = noise(3, 256, 256)
    pair = Pair(generated=1, nearest=2, second=3, nearest_name="a", second_name="b", ratio=0, second_ratio=0)
    pictures = Pictures(
        pairs=[(pair, image, image, image)] * 12, samples=[image] * 48, previews={0: [image, None] * 32}
    )
    html = page(figures, pictures)
    assert b"data:image" in html
    assert len(html) < MB


def test_visits_that_a_queue_lost_are_shown_where_there_are_any(planted: Callable[..., Run]):
    """Of 8,000 visits in two rounds 1,000 were lost, and 750 steps taken."""
    figures = figures_of(planted())
    assert b"lost" not in page(figures, Pictures()).lower()
    lost = {"provenance": figures.provenance.model_copy(update={"lost_share": 0.125, "steps": 7500})}
    lost["rounds"] = [r.model_copy(update={"lost": 500}) for r in figures.rounds]
    html = page(figures.model_copy(update=lost), Pictures()).decode()
    assert "Lost visits" in html
    assert re.search(r"12.5\s*%\s+lost in the queue; 7,500 optimizer steps", html.replace("\u202f", " "))


def test_a_curve_of_any_number_of_rounds_is_light():
    assert len(line([float(x) for x in range(100_000)], "loss")) < 10_000
    assert line([0.0], "loss")


def test_a_strip_is_split_into_its_images():
    images, png = noise(5, 1, 8, 8), io.BytesIO()
    Image.fromarray(np.concatenate(list(images[:, 0]), axis=1)).save(png, "PNG")
    assert np.array_equal(split_strip(png.getvalue(), 1), images)
    assert len(data_uri(images[0], 128)) < 300


def test_the_table_fits_80_columns_and_puts_memorization_beside_floor_and_quality(planted: Callable[..., Run]):
    lines = aligned(figure_table(figures_of(planted())))
    assert max(len(line) for line in lines) <= 80
    text = "\n".join(lines)
    for said in (
        "MQ < 0.1 aware",
        "MQ < 0.1 plain",
        "real images",
        "Frechet (pixels)",
        "kernel (pixels)",
        "precision",
        "recall",
        "echo",
    ):
        assert said in text


def test_quality_shows_the_kernel_distance_with_its_spread_and_what_papers_publish_by_its_whole_name(
    planted: Callable[..., Run],
):
    figures = figures_of(planted())
    quality = figures.quality
    rows = {row.name: row for row in figure_groups(figures)[-1].rows}
    kernel = rows["kernel distance (pixels)"]
    assert kernel.generated == f"{quality.kernel:.3g} ± {quality.kernel_std:.2g}"
    assert kernel.real == f"{quality.kernel_real:.3g} ± {quality.kernel_real_std:.2g}"
    published = rows["Frechet distance (pixels) against the training set (published protocol)"]
    assert (published.generated, published.real) == (f"{quality.frechet_training:.3g}", "")
