"""The rules of the house: what a room may know."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent
STEPS = (
    "plan",
    "pack",
    "prepare",
    "encode",
    "initialize",
    "shard",
    "begin",
    "watch",
    "train",
    "aggregate",
    "redistribute",
    "select",
    "sample",
    "evaluate",
)


def imports(path: Path) -> Iterator[str]:
    """Modules of this package that a file imports, wherever in it, as dotted names below `unecho`."""
    package = ["unecho", *path.relative_to(TREE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            if module.startswith("unecho"):
                yield from (f"{module}.{alias.name}".removeprefix("unecho.") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("unecho.") for a in node.names if a.name.startswith("unecho."))


def known(room: str) -> dict[str, list[str]]:
    """What the files of a room import, by file."""
    found = {path.as_posix(): list(imports(path)) for path in sorted((TREE / room).rglob("*.py"))}
    assert found, f"there is no room {room}"
    return found


def breaches(room: str, *forbidden: str) -> list[str]:
    return [
        f"{path} imports {name}"
        for path, names in known(room).items()
        for name in names
        for other in forbidden
        if f"{name}.".startswith(f"{other}.")
    ]


def test_nothing_of_the_components_knows_the_pipelines() -> None:
    assert not breaches("components", "pipelines")


@pytest.mark.parametrize("room", ["method", "measures", "diffusion"])
def test_the_method_the_measures_and_the_models_know_neither_store_nor_run(room: str) -> None:
    assert not breaches(f"components/{room}", "components.store", "components.run", "components.report")


def test_what_is_measured_knows_no_page_that_shows_it() -> None:
    assert not breaches("components/assess", "components.report")


def test_the_store_knows_bytes_and_no_records_and_data_knows_no_runs() -> None:
    upper = [
        f"components.{room}"
        for room in ("run", "method", "diffusion", "measures", "assess", "report", "config", *STEPS)
    ]
    assert not breaches("components/store", "components.data", *upper)
    assert not breaches(
        "components/data", "components.run", "components.method", "components.diffusion", *upper[-len(STEPS) :]
    )


@pytest.mark.parametrize("step", STEPS)
def test_a_step_knows_no_other_step(step: str) -> None:
    others = [f"components.{other}" for other in STEPS if other != step]
    assert not breaches(f"components/{step}", *others, "components.steps", "components.kubeflow_task")


def test_a_room_that_steps_share_knows_no_step() -> None:
    for room in ("config", "store", "run", "data", "method", "diffusion", "measures", "assess", "report", "tracking"):
        assert not breaches(f"components/{room}", *(f"components.{step}" for step in STEPS))


def test_trackers_know_records_and_no_model_no_measure_and_no_image() -> None:
    others = ("data", "method", "diffusion", "measures", "assess", "report", "kubeflow_task", "steps")
    assert not breaches("components/tracking", *(f"components.{room}" for room in others))


def test_the_loop_names_steps_and_order_and_nothing_else() -> None:
    assert list(imports(TREE / "pipelines" / "loop.py")) == []


def test_a_file_imports_what_is_beside_it_by_its_place() -> None:
    """So that whoever follows an import, a reader or a tool, finds the file without the links of `unecho/`."""
    for folder in ("components", "pipelines"):
        for path in (TREE / folder).rglob("*.py"):
            named = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and not n.level]
            assert not [n.module for n in named if (n.module or "").startswith("unecho")], path
