"""The commands in README and docs: each is one that the program takes, and those that need no cluster are typed."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runs import finish, tiny
from unecho.components.run import Run
from unecho.pipelines.commands import COMMANDS, main

TREE = Path(__file__).parent.parent
PAGES = [TREE / "README.md", *sorted((TREE / "docs").glob("*.md")), TREE / "CONTRIBUTING.md", TREE / "SECURITY.md"]
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def lines() -> Iterator[tuple[str, list[str]]]:
    """Every command of every shell block, as words, with the page that it stands on."""
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                for command in line.split(" && "):
                    if words := shlex.split(command, comments=True):
                        yield page.name, words


def of_program() -> list[tuple[str, list[str]]]:
    return [(page, words) for page, words in lines() if words[0] == "unecho"]


@pytest.mark.parametrize(("page", "words"), of_program(), ids=lambda value: value if isinstance(value, str) else None)
def test_a_command_of_ours_has_options_that_the_program_takes(page: str, words: list[str]) -> None:
    assert words[1] in COMMANDS, f"{page}: {words}"
    if words[1] == "step":  # typed by the tests of the steps' READMEs
        assert words[2:4] == ["train", "--run"]
        return
    module = import_module(f"unecho.pipelines.commands.{words[1]}")
    module.parser().parse_args(words[2:])  # ends the test where it does not fit


def test_every_command_has_options_and_stands_in_the_readme() -> None:
    readme = (TREE / "README.md").read_text()
    for command in COMMANDS:
        assert f"| `unecho {command}" in readme
        assert command == "step" or callable(import_module(f"unecho.pipelines.commands.{command}").parser)


def test_what_the_pages_name_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (TREE / "Makefile").read_text(), re.MULTILINE))
    for page, words in lines():
        if words[0] == "make":
            goals = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert set(goals) <= targets, f"{page}: {words}"
        if words[0] == "kubectl":
            for option, path in pairwise(words):
                if option in ("-k", "-f") and not path.startswith("job/"):
                    assert (TREE / path).exists(), f"{page}: {words}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_lines_that_need_no_cluster_run_on_a_store_and_on_a_folder_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Addresses are replaced by a finished run's here; the commands stay."""
    run = Run.at(str(tmp_path / "root"), "a")
    finish(run, tiny("execution.tensorboard=true"))
    (tmp_path / "images").mkdir()
    draw = np.random.default_rng(0)
    for number in range(2000):
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / "images" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    places = {
        "s3://models/unecho": str(tmp_path / "root"),
        "s3://models/unecho/runs/digits-iet-agc-plus-0": run.url,
        "data.source=/path/to/images": f"data.source={tmp_path / 'images'}",
        "IMAGE": "registry.example.com/unecho:1",
    }
    typed = []
    for page, words in of_program():
        if words[1] in ("plan", "presets", "ls", "gc", "pull", "status", "compile"):
            here = [places.get(word, word) for word in words]
            assert main(here[1:]) == 0, f"{page}: {words}: {capsys.readouterr().err}"
            typed.append(words[1])
    assert {"plan", "ls", "gc", "pull", "compile"} <= set(typed)
    assert (tmp_path / "digits" / "model" / "model_index.json").is_file()
    assert (tmp_path / "unecho.yaml").is_file()


def test_shell_blocks_are_shell() -> None:
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True)
            assert done.returncode == 0, f"{page.name}: {done.stderr}"
