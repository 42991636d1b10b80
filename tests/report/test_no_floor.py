"""A report where no images were held out: figures alone, no verdict, nothing that is empty."""

import json
import re
from html.parser import HTMLParser
from typing import Literal

import numpy as np
import pytest

from tests.report.kept import SUBJECT, kept, without_floor
from unecho.components.measures.descriptor_figures import DescriptorFigures, similarities_of
from unecho.components.measures.intervals import Share
from unecho.components.measures.verdict import KINDS, beside_floor
from unecho.components.report.figures import Figures
from unecho.components.report.page import Pictures, page
from unecho.components.report.tables import aligned, beside_table, figure_table, similarity_table
from unecho.components.report.wording import sampled_by, what_trained

FLOORLESS = without_floor(kept(2))


class Cells(HTMLParser):
    """The rows of all tables as texts, and all text that a reader sees."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.text = ""
        self._inside: str | None = None
        self.feed(html.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self._inside = tag if tag in ("td", "th", "style") else self._inside

    def handle_endtag(self, tag: str) -> None:
        self._inside = None if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside in ("td", "th"):
            self.rows[-1][-1] += data
        self.text += data if self._inside != "style" else ""


def test_the_headline_gives_no_verdict_and_says_what_is_missing_and_how_to_get_it() -> None:
    said = FLOORLESS.headline
    assert (said.verdict, said.title) == ("undecided", "No verdict: no held-out images, so no floor")
    assert "0.0 % of 32 generated images (0.0 to 10.7 %)" in said.sentence
    assert "MQ < 0.1, augmentation-aware" in said.sentence
    assert "unecho audit --held-out SOURCE" in said.sentence
    assert not re.search(r"echo(es)?\b|cop(y|ies)|accus|too few", said.sentence.replace("unecho", ""))
    assert "Frechet distance (pixels) against the training set (published protocol) 1.25" in said.quality
    assert "copies make it less" in said.quality


def test_an_attack_alone_is_told_as_plainly() -> None:
    said = without_floor(kept(2), "extraction").headline
    assert said.verdict == "undecided"
    assert "of the 96 training images" in said.sentence
    assert "0 guesses that the extraction attack makes" in said.sentence


def test_the_table_has_no_column_of_real_images_and_no_empty_cell() -> None:
    table = figure_table(FLOORLESS)
    assert table.header == ["", "generated", ""]
    assert all(all(row) for row in table.rows)
    assert {row[-1] for row in table.rows} == {"not judged", "copies make it less"}
    lines = aligned(table)
    assert max(map(len, lines)) <= 80
    assert lines[-1].split() == ["Frechet", "(pixels)", "to", "training", "set", "1.25", "copies", "make", "it", "less"]


def test_the_page_shows_figures_alone_with_nothing_empty_and_nothing_of_training() -> None:
    shown = Cells(page(FLOORLESS, Pictures()))
    header = ["", "generated", "meaning"]
    assert [row for row in shown.rows if row == header] == [header, header]  # copies, and quality
    assert all(len(row) in (1, 3) and all(cell.strip() for cell in row) for row in shown.rows if row != header)
    for word in ("None", "real, held out", "Rounds", "Sample visits", "· variant", "Precision", "EMA weights"):
        assert word not in shown.text, word
    assert f"audit of {SUBJECT}" in shown.text
    assert "none held out" in shown.text
    assert "against the training set (published protocol)" in shown.text
    assert "copies make it less" in shown.text
    assert b'class="generated"' in page(FLOORLESS, Pictures())
    assert b'<rect class="floor"' not in page(FLOORLESS, Pictures())


def test_an_audit_beside_a_floor_leaves_out_training_alone() -> None:
    figures = kept(2)
    source = figures.provenance.model_copy(update={"subject": SUBJECT, "visits": None, "planned_visits": None})
    shown = Cells(page(figures.model_copy(update={"provenance": source, "rounds": []}), Pictures()))
    assert shown.rows[0] == ["", "generated", "real", "meaning"]
    assert "real, held out" in shown.text
    assert f"audit of {SUBJECT}" in shown.text
    for word in ("None", "Rounds", "Sample visits", "Training, round by round"):
        assert word not in shown.text, word


def test_metrics_hold_no_floor_and_no_quality_where_there_are_none() -> None:
    metrics = FLOORLESS.metrics()
    assert not [name for name in metrics if name.endswith(("_floor", "_real"))]
    assert metrics["frechet_pixels_training"] == 1.25
    assert metrics["mq_aware_0.1"] == 0
    assert "skipped_share" not in metrics
    assert list(FLOORLESS.first_metrics(9)) == ["mq_aware_0.1", "second_nearest_aware", "frechet_pixels_training"]


def test_a_report_without_a_floor_is_read_as_it_was_written() -> None:
    assert Figures.model_validate_json(FLOORLESS.model_dump_json()) == FLOORLESS


@pytest.mark.parametrize("version", [1, 2])
def test_reports_of_earlier_versions_are_read_and_shown(version: Literal[1, 2]) -> None:
    figures = kept(version)
    assert (figures.version, figures.has_floor, figures.provenance.subject) == (version, True, None)
    assert figures.provenance.visits == 96 * 2 * 2  # images, rounds, epochs
    shown = Cells(page(figures, Pictures()))
    assert "Sample visits" in shown.text
    assert "None" not in shown.text
    assert max(len(line) for line in aligned(figure_table(figures))) <= 80


def test_tables_with_a_descriptor_and_every_set_beside_fit_80_columns() -> None:
    wide = Share.counted(995, 1000)
    found = [
        beside_floor(measure, True, 1 / 3, wide, wide).model_copy(
            update={"base": wide, "ceiling": wide, "ceiling_pixels": wide, "verdict": "unclear"}
        )
        for measure in KINDS
    ]
    similar = similarities_of(np.linspace(0, 1, 200, dtype=np.float32), 0.005)
    assert similar is not None
    described = DescriptorFigures(
        file="own", digest="", transform="sscd", size=288, mean=[0], std=[1], threshold=0.005, generated=similar
    ).model_copy(update=dict.fromkeys(("held_out", "base", "own", "own_base"), similar))
    figures = kept(2).model_copy(update={"memorization": found, "descriptor": described})
    beside = beside_table(figures)
    assert beside is not None
    lines = [*aligned(figure_table(figures)), *aligned(beside), *aligned(similarity_table(described))]
    assert sum("99.5 % [98.8, 99.8]" in line for line in lines) == 2 * len(KINDS)
    assert max(map(len, lines)) <= 80


def test_the_sampler_of_images_that_were_generated_elsewhere_is_not_known() -> None:
    config = json.loads(json.dumps(kept(2).config))
    assert sampled_by(config) == "DDIM, 5 steps, EMA weights"
    assert sampled_by(config | {"audit": None}) == "DDIM, 5 steps, EMA weights"
    assert sampled_by(config | {"audit": {"model": "/models/mine"}}) == "DDIM, 5 steps"
    assert sampled_by(config | {"audit": {"images": "/images"}}) is None
    base = config | {"audit": {"model": "x"}, "sample": config["sample"] | {"sampler": "base"}}
    assert sampled_by(base) == "the model's own, 5 steps"
    assert what_trained(config, []) is None
