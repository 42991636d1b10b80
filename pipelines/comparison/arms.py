"""What is compared: arms, each a variant or a configuration of one's own, over the same data and seeds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...components.config import RunConfig
from ...components.config.fields import VARIANTS
from ...components.config.resolve import merge, read_file, resolve, variant_slug
from ...components.data.forgotten import Numbered
from ...components.failure import Fatal
from ...components.run import Plan, Run
from ...components.run.forgotten import asked_now, asked_of
from ...components.store import Store

REFERENCE = "default"
"""Plain training: what quality and cost are compared with, where it is among the arms."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9+.-]*[a-z0-9+])?")


@dataclass(frozen=True)
class Arm:
    """One line of the comparison.

    Attributes:
        variant: that it starts from.
        fields: a tree that wins over preset and variant.
    """

    name: str
    variant: str
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name in letters that a run's name may have."""
        return variant_slug(self.name).replace(".", "-")


@dataclass(frozen=True)
class Entry:
    """One run of the comparison."""

    arm: Arm
    seed: int
    run: Run
    config: RunConfig


def forgotten_by(store: Store, every: Sequence[Entry]) -> list[Numbered]:
    """What deletion requests keep out of a comparison: those that its first run has frozen, where it goes on."""
    first = next((entry.run for entry in every if entry.run.find(Plan, 0)), None)
    return asked_of(first, first.plan()) if first else asked_now(store)


def variant_arms(text: str) -> list[Arm]:
    """The arms of `--variants`: names with commas between them, or `all`.

    Raises:
        Fatal: a name is no variant.
    """
    names = list(VARIANTS) if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in VARIANTS:
            raise Fatal(f"--variants: '{name}' is not 'all' or one of {', '.join(VARIANTS)}")
    return [Arm(name, name) for name in dict.fromkeys(names)]


def arms_of_file(path: Path) -> list[Arm]:
    """The arms of a YAML file: a name each, below it `variant` and sections of fields.

    Raises:
        Fatal: the file cannot be read, or an entry is no such thing; names it.
    """
    arms = []
    for name, tree in read_file(path).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Fatal(f"{path}: '{name}': an arm's name is of lower-case letters, digits, +, inner dots and dashes")
        tree = {} if tree is None else tree
        if not isinstance(tree, dict):
            raise Fatal(f"{path}: {name}: must hold variant and sections of fields, not a {type(tree).__name__}")
        variant = tree.get("variant", "iet-agc+")
        if variant not in VARIANTS:
            raise Fatal(f"{path}: {name}: variant '{variant}' is not one of {', '.join(VARIANTS)}")
        arms.append(Arm(name, variant, {key: value for key, value in tree.items() if key != "variant"}))
    return arms


def check_arms(arms: Sequence[Arm]) -> None:
    """Whether the arms can stand in one table.

    Raises:
        Fatal: there is none, or two have one name.
    """
    if not arms:
        raise Fatal("compare: nothing to compare: give --variants or --arms")
    slugs = [arm.slug for arm in arms]
    if twice := next((arm.name for arm in arms if slugs.count(arm.slug) > 1), None):
        raise Fatal(f"compare: two arms are called '{twice}'")


def entries(
    store: Store, name: str, arms: Sequence[Arm], seeds: int, preset: str | None, given: dict[str, Any]
) -> list[Entry]:
    """Every run, seeds outermost, so that all arms have a first result early.

    Args:
        name: what the runs' names begin with.
        given: fields for all arms; an arm's own win over them.

    Raises:
        Fatal: an arm's configuration is wrong; names the arm and the field.
    """
    found = []
    for seed in range(seeds):
        for arm in arms:
            try:
                tree = merge(merge(given, arm.fields), {"seed": seed})
                config = resolve(preset, arm.variant, overrides=tree)
            except Fatal as error:
                raise Fatal(f"arm {arm.name}: {error}") from None
            found.append(Entry(arm, seed, run_of(store, name, arm, seed), config))
    return found


def run_of(store: Store, name: str, arm: Arm, seed: int) -> Run:
    """The run of an arm with a seed, in a comparison of that name."""
    return Run(store, f"{name}-{arm.slug}-{seed}")
