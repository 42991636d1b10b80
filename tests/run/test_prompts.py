"""What is asked for: each prompt once before any twice, several captions of an image in turn."""

from pathlib import Path

import pytest

from tests.captioned import captioned
from unecho.components.failure import Fatal
from unecho.components.plan.step import plan
from unecho.components.run import Plan, Run
from unecho.components.run.prompts import Prompts, prompts_of

TEXTS = [("a",), ("b0", "b1", "b2"), ("c0", "c1"), ("d",)]
ROWS = [10, 11, 12, 13]


def test_each_source_has_its_turn_before_any_has_a_second() -> None:
    prompts = Prompts(TEXTS, ROWS, seed=5)
    for first in range(0, 40, 4):
        assert sorted(prompts.row(i) for i in range(first, first + 4)) == ROWS
    assert [prompts.row(i) for i in range(4)] == [prompts.row(i) for i in range(4, 8)], "the order is drawn once"


def test_captions_of_an_image_take_turns_and_row_and_text_belong_together() -> None:
    prompts = Prompts(TEXTS, ROWS, seed=5)
    by_row: dict[int, list[str]] = {}
    for i in range(24):
        by_row.setdefault(prompts.row(i), []).append(prompts([i])[0])
    assert by_row == {
        10: ["a"] * 6,
        11: ["b0", "b1", "b2", "b0", "b1", "b2"],
        12: ["c0", "c1"] * 3,
        13: ["d"] * 6,
    }


def test_a_prompt_is_a_function_of_seed_and_index() -> None:
    prompts = Prompts(TEXTS, ROWS, seed=5)
    assert prompts(range(7)) == [prompts([i])[0] for i in range(7)]
    orders = {tuple(Prompts(TEXTS, ROWS, seed).row(i) for i in range(4)) for seed in range(40)}
    assert len(orders) > 10


def test_a_file_has_a_prompt_a_line(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeffthe first\r\n\n  the second  \nthe thìrd".encode())
    run = Run.at(str(tmp_path), "a")
    prompts = prompts_of(run, captioned("sample.prompts=file", f"sample.prompts_file={file}"))
    assert prompts is not None
    assert sorted(prompts(range(3))) == ["the first", "the second", "the thìrd"]
    assert [prompts.row(i) for i in range(3)] == [-1, -1, -1]


@pytest.mark.parametrize(("content", "says"), [(b"\n  \n", "no prompt in it"), (b"\xff\xfe\xff", "not UTF-8 text")])
def test_a_file_without_prompts_is_one_line(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(content)
    with pytest.raises(Fatal, match=f"^sample.prompts_file: {file}: {says}"):
        prompts_of(Run.at(str(tmp_path), "a"), captioned("sample.prompts=file", f"sample.prompts_file={file}"))


def test_a_file_that_changes_after_the_plan_asks_for_nothing(tmp_path: Path) -> None:
    file, run = tmp_path / "prompts.txt", Run.at(str(tmp_path), "a")
    file.write_text("a prompt")
    config = captioned("sample.prompts=file", f"sample.prompts_file={file}")
    plan(run, config)
    assert prompts_of(run, config)
    file.write_text("another")
    with pytest.raises(
        Fatal, match=f"^sample.prompts_file: {file}: holds something else than when the run was planned"
    ):
        prompts_of(run, config)


@pytest.mark.parametrize("field", ["prompts_file", "general_prompts"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "an empty file"),
        (b"\n  \n", "no prompt in it: write one a line"),
        (b"a prompt\n\xff", "not UTF-8 text"),
    ],
)
def test_a_file_without_prompts_is_said_by_the_plan(
    content: bytes | None, says: str, field: str, tmp_path: Path
) -> None:
    file, run = tmp_path / "prompts.txt", Run.at(str(tmp_path), "a")
    if content is not None:
        file.write_bytes(content)
    asked = ["sample.prompts=file"] if field == "prompts_file" else []
    with pytest.raises(Fatal, match=f"^sample.{field}: '?{file}'?: .*{says}"):
        plan(run, captioned(*asked, f"sample.{field}={file}"))
    assert run.find(Plan, 0) is None
