"""Policies: what is understood, and the line for what is not."""

from pathlib import Path

import pytest

from unecho.components.failure import Fatal
from unecho.pipelines.gate.policy import read_policy


def policy(folder: Path, text: str) -> Path:
    path = folder / "gate.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("verdikt: no_echo", "verdikt: no such field; did you mean verdict?"),
        ("tests: 1", "tests: no such field; it has smoke, verdict, memorization, quality"),
        ("verdict: echo", "verdict: 'echo' is not allowed: input should be 'no_echo' or 'not_echo'"),
        (
            "memorization: {mq_aware: {share_at_most: 0.1}}",
            "memorization.mq_aware: no such figure; near ones are mq_aware_0.4, mq_aware_0.3, ",
        ),
        ("memorization: {frechet_pixels: {share_at_most: 0.1}}", "memorization.frechet_pixels: no such figure; "),
        (
            "memorization: {mq_0.1: {}}",
            "memorization.mq_0.1: limits nothing: give above_floor_at_most or share_at_most",
        ),
        (
            "memorization: {mq_0.1: {above_floor: 0.1}}",
            "memorization.mq_0.1.above_floor: no such field; did you mean memorization.mq_0.1.above_floor_at_most?",
        ),
        (
            "memorization: {mq_0.1: {share_at_most: 5}}",
            "memorization.mq_0.1.share_at_most: 5 is not allowed: input should be less than 1",
        ),
        (
            "memorization: {mq_0.1: {share_at_most: 0}}",
            "memorization.mq_0.1.share_at_most: 0 is not allowed: input should be greater than 0",
        ),
        (
            "quality: {frechet: {at_most: 1}}",
            "quality.frechet: no such figure; near ones are frechet_",
        ),
        ("quality: {zzz: {at_most: 1}}", "quality.zzz: no such figure; there are frechet_pixels, "),
        ("quality: {precision: {at_most: 1}}", "quality.precision.at_most: more is better: use at_least"),
        (
            "quality: {fid: {ratio_to_released_at_least: 1}}",
            "quality.fid.ratio_to_released_at_least: less is better: use ratio_to_released_at_most",
        ),
        (
            "memorization: {mq_0.1: {share_at_most: 0.1}, mq_0.10: {share_at_most: 1e-2}}",
            "memorization.mq_0.10: given twice",
        ),
        (
            "quality: {fid: {at_most: 1, at_most: 2}}",
            "quality.fid.at_most: given twice: YAML would take the last ",
        ),
        ("verdict: no_echo\nverdict: not_echo", "verdict: given twice: "),
        ("[1]", "must hold sections of fields, not a list"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file_and_the_field(text: str, says: str, tmp_path: Path) -> None:
    path = policy(tmp_path, text)
    with pytest.raises(Fatal) as told:
        read_policy(path)
    line = str(told.value)
    assert line.startswith(f"{path}: {says}")
    assert "\n" not in line


def test_a_policy_says_what_it_is_without_a_word_and_a_threshold_is_a_number(tmp_path: Path) -> None:
    empty = read_policy(policy(tmp_path, "")).policy
    assert (empty.smoke, empty.verdict, empty.compares) == ("refuse", "no_echo", None)
    read = read_policy(policy(tmp_path, "memorization: {mq_aware_0.150: {share_at_most: 1e-2}}"))
    assert list(read.policy.memorization) == ["mq_aware_0.15"]
    assert read.policy.memorization["mq_aware_0.15"].share_at_most == 0.01
    assert read.policy.memorization["mq_aware_0.15"].confidence == 0.95


def test_a_policy_is_known_by_the_digest_of_its_file(tmp_path: Path) -> None:
    right = "a880a46efa891eba4fea9c03f4f0fb4f5cb588b745408ad85f43e87f3aea76e4"  # by sha256sum
    assert read_policy(policy(tmp_path, "verdict: no_echo\n")).sha256 == right


def test_a_policy_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"none\.yaml: No such file or directory$"):
        read_policy(tmp_path / "none.yaml")
