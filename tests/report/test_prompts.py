"""The section on prompts: figures for everybody, texts and pictures in the run's own copy alone."""

from typing import Any

import numpy as np

from tests.report.kept import kept
from unecho.components.measures.prompt_figures import PromptFigures, WorstPrompt
from unecho.components.measures.prompts import PromptValues, measures_of
from unecho.components.report.figures import Figures
from unecho.components.report.page import Pictures, page
from unecho.components.report.prompt_tables import counted, told_apart, values_by_kind
from unecho.components.report.tables import markdown

WORST = WorstPrompt(text="a <secret> fox", row=3, magnitude=0.5, tokens=[("a", 0.1), ("fox", 0.9)], images=[2])
IMAGE = np.zeros((1, 8, 8), np.uint8)


def found(**changed: Any) -> PromptFigures:
    """All 100 training captions above all 100 held-out ones; the base model tells nothing apart."""
    rising = np.arange(100.0)[:, None].repeat(2, axis=1)
    above, same = PromptValues(rising + 100, rising + 100), PromptValues(rising, rising)
    figures: dict[str, Any] = {
        "training": 100,
        "held_out": 100,
        "on_both_sides": 7,
        "seeds": 2,
        "measures": measures_of({"training": above, "held_out": same, "general": same}, seed=0),
        "base": measures_of({"training": same, "held_out": same}, seed=0),
        "worst": [WORST],
    }
    return PromptFigures(**figures | changed)


def reported(prompts: PromptFigures | None) -> Figures:
    return kept(2).model_copy(update={"prompts": prompts})


def test_each_measure_stands_beside_the_base_models() -> None:
    table = told_apart(found())
    assert [row[0] for row in table.rows] == ["text-conditional noise", "anisotropy", "both together"]
    for row in table.rows:
        assert row[1].startswith("1.00 [0.9")
        assert row[2].startswith("100 % [96.")
        assert row[3].startswith("0.50 [0.4")
        assert row[4].startswith("1.0 % [")
    assert len(told_apart(found(base=[])).header) == 3


def test_medians_and_percentiles_are_given_by_kind() -> None:
    """0 to 99: median 49.5, 95th percentile 94.05; training captions lie 100 above."""
    noise = values_by_kind(found()).rows[0]
    assert noise[1:] == ["150, 194", "49.5, 94", "49.5, 94", "1.00"]


def test_the_number_of_prompts_and_of_those_left_out_is_told() -> None:
    assert counted(found()) == (
        "100 captions of training images, 100 of held-out ones, on 2 noises each; 7 captions that stand on both sides "
        "are left out"
    )
    assert " and 3 general prompts, on" in counted(found(general=3))


def test_metrics_have_a_name_each_and_no_base_where_there_is_none() -> None:
    metrics = reported(found()).metrics()
    assert metrics["prompt_magnitude_auc"] == 1
    assert metrics["prompt_both_tpr"] == 1
    assert metrics["prompt_anisotropy_auc_base"] == 0.5
    assert not [name for name in reported(found(base=[])).metrics() if name.endswith("auc_base")]
    assert not [name for name in reported(None).metrics() if name.startswith("prompt_")]


def test_texts_tokens_and_pictures_stand_in_the_runs_own_copy_alone() -> None:
    figures = reported(found())
    own, shared = (
        page(figures, pictures).decode() for pictures in (Pictures(prompts=[(WORST, IMAGE, [IMAGE])]), Pictures())
    )
    for html in (own, shared):
        assert "<h2>Prompts</h2>" in html
        assert "text-conditional noise" in html
    assert "a &lt;secret&gt; fox" in own
    assert "the caption's own image" in own
    for text in ("secret", "fox", "the caption's own image"):
        assert text not in shared
    assert "fox" not in "\n".join(markdown(told_apart(figures.prompts or found())))


def test_of_a_caption_of_many_words_the_beginning_is_shown() -> None:
    long = WORST.model_copy(update={"text": "word " * 500})
    html = page(reported(found()), Pictures(prompts=[(long, IMAGE, [])])).decode()
    assert f"“{'word ' * 59}word…”" in html
    assert html.count("word ") < 100


def test_why_prompts_were_not_measured_is_told_and_pixels_have_no_section() -> None:
    unmeasured = page(reported(PromptFigures(unmeasured="the model is a FluxPipeline")), Pictures()).decode()
    assert "Not measured: the model is a FluxPipeline." in unmeasured
    assert "<h2>Prompts</h2>" not in page(reported(None), Pictures()).decode()


def test_few_captions_leave_out_what_they_cannot_resolve() -> None:
    values = PromptValues(np.arange(6.0).reshape(3, 2), np.arange(6.0).reshape(3, 2))
    few = found(measures=measures_of({"training": values, "held_out": values}, seed=0), base=[])
    assert all(row[2] == "too few" for row in told_apart(few).rows)
    alone = found(measures=measures_of({"training": values}, seed=0), base=[], held_out=0)
    assert all(row[1] == "none" for row in told_apart(alone).rows)
    assert "No held-out image has a caption" in page(reported(alone), Pictures()).decode()
