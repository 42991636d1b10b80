"""The settings of a base model: what does not fit is one line that names the field."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_readmes import text
from unecho.components.config.fields import Section
from unecho.components.config.resolve import check_as, given_fields, merge
from unecho.components.diffusion.pretraining.config import SIZES, BaseModelConfig
from unecho.components.failure import Fatal


def settings(*given: str) -> BaseModelConfig:
    tree = merge({"data": {"resolution": 32, "channels": 3}}, given_fields(settings=given, kind=BaseModelConfig))
    return check_as(BaseModelConfig, tree)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("denoiser.step=3", "denoiser.step: no such field; did you mean denoiser.steps?"),
        ("denoisr.steps=3", "denoisr: no such field; did you mean denoiser?"),
        ("denoiser.steps=0", "denoiser.steps: 0 is not allowed: input should be greater than or equal to 1"),
        ("data.channels=1", "data.channels: 1: a text-to-image pipeline has 3"),
        ("data.resolution=auto", "data.resolution: auto: a base model needs a number, such as 32"),
        (
            "data.resolution=20",
            "data.resolution: 20: these levels of autoencoder and denoiser need a multiple of 8",
        ),
        (
            "autoencoder.block_out_channels=8,8,8,8",
            None,
        ),
        (
            "autoencoder.block_out_channels=8,12",
            "autoencoder.norm_num_groups: 8 does not divide block_out_channels' 12",
        ),
        ("denoiser.attention_heads=3", "denoiser.attention_heads: 3 does not divide block_out_channels' 32"),
        ("text_encoder.num_attention_heads=3", "text_encoder.num_attention_heads: 3 does not divide hidden_size 64"),
        ("tokenizer.vocabulary=100", "tokenizer.vocabulary: 100 is not allowed"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_field(given: str, says: str | None) -> None:
    if says is None:
        assert settings(given).autoencoder.block_out_channels == (8, 8, 8, 8)
        return
    with pytest.raises(Fatal) as error:
        settings(given)
    assert str(error.value).startswith(says)


def rows(kind: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        below = field.annotation
        if isinstance(below, type) and issubclass(below, Section):
            if name != "data":  # has a table of its own, in the README of prepare
                yield from rows(below, f"{prefix}{name}.")
        else:
            yield f"| `{prefix}{name}` | {text(field.get_default())} | {' '.join((field.description or '').split())} |"


def test_the_table_of_settings_on_the_page_is_the_settings() -> None:
    page = (Path(__file__).parents[3] / "docs" / "base-models.md").read_text().splitlines()
    right = ["| field | default | meaning |", "|---|---|---|", *rows(BaseModelConfig)]
    first = page.index(right[0])
    assert page[first : first + len(right)] == right, "the table should be:\n" + "\n".join(right)


def test_both_sizes_fit_together() -> None:
    for size in SIZES.values():
        assert check_as(BaseModelConfig, merge({"data": {"resolution": 32, "channels": 3}}, size))


def test_what_the_result_does_not_depend_on_is_no_part_of_its_identity() -> None:
    plain = settings().result_fields()
    assert settings("checkpoint_every_s=1", "data.source=/elsewhere").result_fields() == plain
    assert settings("denoiser.steps=3").result_fields() != plain
