"""The tables of configuration fields in the steps' READMEs say what the configuration says.

A table stands under a line `<!-- fields: data report.images -->`, which names whole sections and single
fields, and has a row for each of them: | `section.field` | default | meaning |.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from unecho.components.config import RunConfig
from unecho.components.config.fields import Section
from unecho.components.steps import STEPS

COMPONENTS = Path(__file__).parent.parent / "components"
READMES = sorted(COMPONENTS.glob("*/README.md"))
MARK = re.compile(r"<!-- fields: (.*?) -->\n((?:\|.*\n?)*)")


def rows() -> dict[str, str]:
    """The right row of every field, by its dotted name."""
    found: dict[str, str] = {}

    def walk(section: type[Any], prefix: str) -> None:
        for name, field in section.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, Section):
                walk(kind, f"{prefix}{name}.")
                continue
            meaning = " ".join((field.description or "").split()).replace("|", "\\|")
            found[prefix + name] = f"| `{prefix}{name}` | {text(field.get_default())} | {meaning} |"

    walk(RunConfig, "")
    return found


def text(default: Any) -> str:
    if default is None or default == "":
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ", ".join(text(value) for value in default)
    return f"{default:.6g}" if isinstance(default, float) else str(default)


def fields_of(names: str) -> list[str]:
    """The fields that a mark names, in order."""
    listed = []
    for name in names.split():
        below = [field for field in rows() if field == name or field.startswith(f"{name}.")]
        assert below, f"the configuration has no '{name}'"
        listed += below
    return listed


@pytest.mark.parametrize("step", sorted(STEPS))
def test_every_step_has_a_readme(step: str):
    readme = COMPONENTS / step / "README.md"
    assert readme.is_file()
    said = readme.read_text()
    assert said.startswith(f"# {step}\n")
    assert f"unecho step {step} --run" in said, "an example that can be typed"
    for word in ("Inputs", "Outputs"):
        assert word in said


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_the_table_of_fields_is_the_configurations(readme: Path):
    tables = MARK.findall(readme.read_text())
    for names, table in tables:
        right = ["| field | default | meaning |", "|---|---|---|", *(rows()[field] for field in fields_of(names))]
        assert table.splitlines() == right, "the table should be:\n" + "\n".join(right)
    marked = "".join(table for _, table in tables)
    for line in readme.read_text().splitlines():
        if re.match(r"\| `[a-z_]+\.[a-z_]+` \|", line):
            assert line in marked, f"a row without a mark above its table: {line}"
