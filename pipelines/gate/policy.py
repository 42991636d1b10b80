"""A policy: which figures of a report a release is judged by, and where their limits are."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator

from ...components.config.fields import Section
from ...components.config.resolve import check_as, read_file
from ...components.failure import Fatal

Limit = Annotated[float, Field(gt=0.0, lt=1.0)]
Ratio = Annotated[float, Field(gt=0.0)]


class MemorizationLimits(Section):
    """What a share of near-copies may be."""

    above_floor_at_most: Limit | None = None
    """Less than this above the floor, by the score test of non-inferiority: 0.02 is two percentage points."""
    share_at_most: Limit | None = None
    """The upper bound of the share itself, one-sided, by Clopper and Pearson."""
    confidence: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    """Of both."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.above_floor_at_most is None and self.share_at_most is None:
            raise ValueError(": limits nothing: give above_floor_at_most or share_at_most")
        return self


class QualityLimits(Section):
    """What a figure of quality may be. The ratio to the released model's is that of both in units of real images' own,
    where these have one: it compares models of data sets that have grown.
    """

    at_most: float | None = None
    at_least: float | None = None
    ratio_to_real_at_most: Ratio | None = None
    ratio_to_real_at_least: Ratio | None = None
    ratio_to_released_at_most: Ratio | None = None
    ratio_to_released_at_least: Ratio | None = None

    @property
    def given(self) -> dict[str, float]:
        """Those that are set, by name."""
        return {name: value for name, value in self if value is not None}

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if not self.given:
            raise ValueError(f": limits nothing: give one of {', '.join(type(self).model_fields)}")
        return self


class Policy(Section):
    """The thresholds of a release."""

    smoke: Literal["refuse", "allow"] = "refuse"
    """Whether a smoke run, whose figures decide nothing, may pass: for trying out a pipeline."""
    verdict: Literal["no_echo", "not_echo"] = "no_echo"
    """`no_echo`: shown to be at the floor; `not_echo`: not shown to be above it, so that 'undecided' passes."""
    memorization: dict[str, MemorizationLimits] = Field(default_factory=dict)
    """By a figure's name in the report's metrics, such as mq_aware_0.1."""
    quality: dict[str, QualityLimits] = Field(default_factory=dict)
    """By a figure's name in the report's metrics, such as frechet_pixels or precision."""

    @field_validator("memorization")
    @classmethod
    def _known_memorization(cls, limits: dict[str, MemorizationLimits]) -> dict[str, MemorizationLimits]:
        found: dict[str, MemorizationLimits] = {}
        for name, limit in limits.items():
            if not _MQ.fullmatch(name):
                _check_known(name, MEMORIZATION)
            if canonical(name) in found:
                raise ValueError(f"{name}: given twice, {canonical(name)} being the same")
            found[canonical(name)] = limit
        return found

    @field_validator("quality")
    @classmethod
    def _known_quality(cls, limits: dict[str, QualityLimits]) -> dict[str, QualityLimits]:
        for name, limit in limits.items():
            _check_known(name, QUALITY)
            better, worse = ("least", "most") if more_is_better(name) else ("most", "least")
            for field in limit.given:
                if field.endswith(worse):
                    right = f"{field.removesuffix(worse)}{better}"
                    raise ValueError(
                        f"{name}.{field}: {'more' if better == 'least' else 'less'} is better: use {right}"
                    )
        return limits

    @property
    def compares(self) -> str | None:
        """The first limit that needs the model now released; None where none does."""
        for name, limits in self.quality.items():
            for field in limits.given:
                if "released" in field:
                    return f"quality.{name}.{field}"
        return None


@dataclass(frozen=True)
class PolicyFile:
    """A policy as it was read.

    Attributes:
        sha256: of the file.
    """

    path: Path
    policy: Policy
    sha256: str


def read_policy(path: Path) -> PolicyFile:
    """The policy of a YAML file.

    Raises:
        Fatal: it cannot be read, or is none; one line names the file and the field.
    """
    tree, data = read_file(path), path.read_bytes()
    if twice := _given_twice(yaml.compose(data, yaml.SafeLoader)):
        raise Fatal(f"{path}: {twice}: given twice: YAML would take the last one alone")
    try:
        policy = check_as(Policy, tree)
    except Fatal as mistake:
        raise Fatal(f"{path}: {mistake}") from None
    return PolicyFile(path, policy, hashlib.sha256(data).hexdigest())


def _given_twice(node: yaml.Node | None) -> str | None:
    """A name that a mapping of YAML has twice, at any depth: a limit would be lost without a word."""
    if not isinstance(node, yaml.MappingNode):
        return None
    names = [str(name.value) for name, _ in node.value]
    for name, below in zip(names, (below for _, below in node.value), strict=True):
        if names.count(name) > 1:
            return name
        if deeper := _given_twice(below):
            return f"{name}.{deeper}"
    return None


_MQ: Final = re.compile(r"(mq|mq_aware)_(\d*\.?\d+(?:e-?\d+)?)")
MEMORIZATION: Final = (
    "second_nearest",
    "second_nearest_aware",
    "extraction",
    "descriptor",
    "descriptor_second",
    "descriptor_whole",
    "descriptor_template",
    "descriptor_own",
    *(f"{kind}_{threshold}" for kind in ("mq", "mq_aware") for threshold in (0.1, 0.2, 0.3, 0.4)),
)
"""Shares of near-copies; of MQ at any threshold."""
_FEATURES: Final = ("pixels", "inception", "onnx")
_DISTANCES: Final = ("frechet_pixels", "frechet_onnx", "fid")
_MORE_IS_BETTER: Final = ("precision", "recall", "alignment")
QUALITY: Final = (
    *(f"{distance}{of}" for distance in _DISTANCES for of in ("", "_all", "_training")),
    "kernel_pixels",
    "kernel_onnx",
    "kid",
    *(f"{share}{on}" for share in ("precision", "recall") for on in ("", *(f"_{kind}" for kind in _FEATURES))),
    *(f"alignment{of}" for of in ("", "_own", "_general")),
    *(f"drift_{kind}{of}" for kind in _FEATURES for of in ("", "_frechet")),
)


def canonical(name: str) -> str:
    """A name as reports have it: mq_0.10 is mq_0.1."""
    found = _MQ.fullmatch(name)
    return f"{found[1]}_{float(found[2]):g}" if found else name


def more_is_better(quality: str) -> bool:
    """Of a figure of quality, by its name."""
    return quality.startswith(_MORE_IS_BETTER)


def _check_known(name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=4, cutoff=0.5)
        which = "near ones are" if near else "there are"
        raise ValueError(f"{name}: no such figure; {which} {', '.join(near or known)}")
