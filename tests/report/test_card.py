"""The model card: read by the hub's own library, each figure with its interval, nothing of a machine or an image."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from tests.report.kept import kept, without_floor
from tests.report.test_prompts import WORST, found
from unecho.components.config import RunConfig, resolve
from unecho.components.measures.descriptor_figures import DescriptorFigures, similarities_of
from unecho.components.measures.intervals import Share
from unecho.components.measures.prompt_figures import PromptFigures
from unecho.components.measures.verdict import Verdict
from unecho.components.report.card import model_card
from unecho.components.report.figures import Figures

FIGURES = kept(2).model_copy(update={"resolution": 8})
CONFIG = RunConfig.model_validate(FIGURES.config)
HUB = ("model.pretrained=somebody/some-model", "lora.enabled=true")


def latents(*settings: str) -> RunConfig:
    return resolve("tiny-text-to-image", settings=settings)


def card(figures: Figures = FIGURES, config: RunConfig = CONFIG) -> str:
    return model_card(figures.model_copy(update={"config": config.model_dump(mode="json")}), config)


def with_provenance(figures: Figures = FIGURES, **changed: Any) -> Figures:
    return figures.model_copy(update={"provenance": figures.provenance.model_copy(update=changed)})


def with_headline(**changed: Any) -> Figures:
    return FIGURES.model_copy(update={"headline": FIGURES.headline.model_copy(update=changed)})


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading, with its header and without its rule."""
    section = text.split(f"### {heading}")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


@pytest.mark.parametrize(
    ("config", "tag", "base", "tags"),
    [
        pytest.param(CONFIG, "unconditional-image-generation", None, set(), id="pixels"),
        pytest.param(latents(*HUB), "text-to-image", "somebody/some-model", {"lora"}, id="adapters"),
        pytest.param(latents("lora.enabled=false"), "text-to-image", None, set(), id="a base that is on no hub"),
    ],
)
def test_the_hubs_library_reads_the_metadata(
    config: RunConfig, tag: str, base: str | None, tags: set[str], tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text(card(config=config))
    read = ModelCard.load(tmp_path / "README.md")
    data = read.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"], data["license"]) == ("diffusers", tag, "other")
    assert (data.get("base_model"), data.get("base_model_relation")) == (base, "finetune" if base else None)
    assert set(data["tags"]) == {"unecho", "diffusion", "memorization"} | tags
    assert read.text.strip().startswith("# ")
    assert not re.findall(r"^---$", read.text, re.MULTILINE)


def test_a_share_stands_with_its_interval_beside_the_floor_and_with_what_follows() -> None:
    """By Wilson 0 of 32 reach to 10.7 %, and 1 of 64 from 0.3 to 8.3 %."""
    aware = rows(card(), "Near-copies, augmentation-aware")
    assert aware[0] == ["", "generated", "real images", "meaning"]
    assert aware[1] == ["MQ &lt; 0.1", "0.0 % [0.0, 10.7]", "1.6 % [0.3, 8.3]", "unclear: too few images"]
    assert aware[2][3] == "shown, not judged"
    quality = rows(card(), "Quality, on pixels")
    assert ["Frechet distance (pixels)", "12.8", "1.28", "less is better"] in quality
    assert "sampler: DDIM, 5 steps, EMA weights" in card()


def test_the_base_model_has_a_column_where_its_images_were_measured() -> None:
    base = Share.counted(1, 16)
    figures = FIGURES.model_copy(
        update={"memorization": [m.model_copy(update={"base": base}) for m in FIGURES.memorization]}
    )
    aware = rows(card(figures), "Near-copies, augmentation-aware")
    assert aware[0][3] == "base model"
    assert aware[1][3] == "6.2 % [1.1, 28.3]"
    assert "of 16 images that the pretrained model makes" in card(figures)
    assert "pretrained model makes" not in card()


def test_without_held_out_images_there_is_no_column_of_them_and_no_verdict() -> None:
    figures = with_provenance(without_floor(FIGURES), subject=None)
    text = card(figures)
    aware = rows(text, "Near-copies, augmentation-aware")
    assert aware[0] == ["", "generated", "meaning"]
    assert {row[-1] for row in aware[1:]} == {"not judged"}
    assert "**No verdict: no held-out images, so no floor.**" in text
    assert "No images were held out" in text
    assert "none held out" in text
    assert "Real images" not in text
    assert "None" not in text


def test_what_a_descriptor_found_stands_with_the_digest_of_its_file() -> None:
    alike = similarities_of(np.linspace(0, 0.9, 11, dtype=np.float32), 0.5)
    assert alike is not None
    found_by = DescriptorFigures(
        file="mine", digest="d" * 64, transform="numbers", size=8, mean=[0], std=[1], threshold=0.5, generated=alike
    )
    text = card(FIGURES.model_copy(update={"descriptor": found_by}))
    assert rows(text, "Similarities on the descriptor")[1][:2] == ["generated", "0.450"]
    assert f"* Copy descriptor mine: SHA-256 `{'d' * 64}`." in text


def test_prompts_have_their_figures_and_no_text_of_one() -> None:
    text = card(FIGURES.model_copy(update={"prompts": found()}), latents())
    assert rows(text, "Prompts")[1][0] == "text-conditional noise"
    assert rows(text, "Prompts")[1][1].startswith("1.00 [0.9")
    assert "100 captions of training images, 100 of held-out ones" in text
    for word in re.findall(r"\w{3,}", WORST.text):
        assert word not in text
    why = PromptFigures(unmeasured="the model is a FluxPipeline")
    assert "Not measured: the model is a FluxPipeline." in card(FIGURES.model_copy(update={"prompts": why}))
    assert "### Prompts" not in card()


def test_another_machine_another_time_and_another_name_of_the_run_give_the_same_bytes() -> None:
    elsewhere = with_provenance(
        run="another", hardware=["another"], started="2031-01-01T00:00:00+00:00", duration_s=9e9, code="9", torch="9"
    )
    assert elsewhere.provenance != FIGURES.provenance
    other = RunConfig.model_validate(
        CONFIG.model_dump() | {"execution": {"device": "cuda", "parallelism": 7}, "report": {"images": "none"}}
    )
    assert card(elsewhere, other) == card()


def test_where_things_lie_is_nobodys_business() -> None:
    settings = ("data.source=/home/me/scans", "model.pretrained=s3://mine/base", "evaluate.descriptor=/home/me/d.onnx")
    text = card(with_provenance(base_sha256="b" * 64, base_model="s3://mine/base"), latents(*settings))
    assert "/home/me" not in text
    assert "s3://" not in text
    assert f"SHA-256 over its files `{'b' * 64}`" in text
    assert "`somebody/some-model`" in card(config=latents(*HUB)), "but where everybody finds it"


def test_a_model_that_started_from_a_released_one_names_it_and_no_run() -> None:
    figures = with_provenance(base_sha256="b" * 64, base_model="released:dogs (number 2, of run dogs-1)")
    text = card(figures, resolve("tiny", settings=("model.pretrained=released:dogs",)))
    assert f"* Pretrained model: what was released as `dogs` until then; SHA-256 over its files `{'b' * 64}`." in text
    assert "trained on may be more than the data above: copies of that were not looked for" in text
    assert "dogs-1" not in text


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ("above", "* It echoes. Take none of its images"),
        ("at_or_below", "less than 2 percentage points more than chance brings"),
        ("unclear", "* Not decided"),
    ],
)
def test_the_limits_say_what_the_verdict_does_not(verdict: Verdict, says: str) -> None:
    judged = card(with_headline(verdict=verdict, smoke=None)).split("## Limits")[1]
    assert says in judged
    smoke = card(with_headline(verdict=verdict, smoke="only 32 images"))
    assert says not in smoke
    assert "only 32 images" in smoke


def test_the_method_is_told_by_its_parts() -> None:
    whole, plain = (
        card(config=resolve("tiny", variant, settings=("iet.shards=2",) if "+" in variant else ()))
        for variant in ("iet-agc+", "default")
    )
    for part in ("IET", "AGC", "MSR", "TAA"):
        assert re.search(rf"^\* {part}, [^:]+: (?!off)", whole, re.MULTILINE), part
        assert re.search(rf"^\* {part}, [^:]+: off", plain, re.MULTILINE), part
    assert "skipped in count only" in plain
    assert "skipped in count only" not in whole


def test_every_row_of_a_table_has_the_cells_of_its_header() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", card(FIGURES.model_copy(update={"prompts": found()})), re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({line.count(" | ") for line in table.splitlines()}) == 1
