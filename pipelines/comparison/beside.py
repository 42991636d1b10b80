"""Finished reports beside each other: their figures, what keeps these from comparing, and what was set otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from ...components.config.fields import flat_fields
from ...components.report.figures import Figures
from ...components.report.wording import asked_for, sampled_by
from .lines import (
    Block,
    Line,
    alignment_blocks,
    drift_blocks,
    features_of,
    measures_of,
    memorization_block,
    quality_blocks,
)

Labels = dict[str, list[str]]
"""Letters of runs by a value that they have."""
LEGEND = "to training set: the protocol that papers publish, and copies make it less; other distances: less is better"

_OF_AUDITS: Final = ("seed", "threads", "data", "audit", "sample", "evaluate", "report", "execution")
"""Sections and fields that say how a given model was sampled and measured."""


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
        label: a letter, by which tables call it.
        url: its address.
    """

    label: str
    url: str
    figures: Figures

    @property
    def about(self) -> dict[str, str]:
        """What is said of it beside its figures, by a heading."""
        source = self.figures.provenance
        sampler = sampled_by(self.figures.config) or "generated elsewhere"
        prompts = asked_for(self.figures.config)
        held_out = f"{source.held_out_images:,}" if source.held_out_images else "none"
        return {
            "verdict": self.figures.headline.title,
            **({"audit of": source.subject} if source.subject else {}),
            "sampler": f"{sampler}; {prompts}" if prompts else sampler,
            "images": f"{source.generated_images:,} generated, {source.train_images:,} trained on, {held_out} held out",
            "data set": source.dataset[:12],
        }


@dataclass(frozen=True)
class Section:
    """Figures under a heading, which says so where they do not compare."""

    title: str
    blocks: Sequence[Block]

    @property
    def lines(self) -> list[Line]:
        return [line for block in self.blocks for line in block]


def labelled(found: Sequence[tuple[str, Figures]]) -> list[Finished]:
    """Runs by letter.

    Args:
        found: address and figures of each.
    """
    return [Finished(_letters(number), url, figures) for number, (url, figures) in enumerate(found)]


def sections(runs: Sequence[Finished]) -> list[Section]:
    """All figures: memorization, what decides in some run first, then quality on the features that runs share."""
    figures = [run.figures for run in runs]
    memorization = [memorization_block(figures, key) for key in measures_of(figures)]
    found = [
        *_apart("Memorization that decides, in %", [block for block, decides in memorization if decides]),
        *_apart("Memorization, shown and not judged, in %", [block for block, decides in memorization if not decides]),
    ]
    for features in _shared_features(runs):
        found += _apart(f"Quality on {features}", quality_blocks(figures, features))
    found += _apart("Text alignment", alignment_blocks(figures))
    drifts = [block for features in _shared_features(runs) for block in drift_blocks(figures, features)]
    return [*found, *_apart("Drift from the base model on general prompts", drifts)]


def remarks(runs: Sequence[Finished], of: Sequence[Section]) -> list[str]:
    """A sentence for all that is not the same and keeps figures from comparing, and for what is left out."""
    lines = [line for section in of for line in section.lines]
    said = [
        f"{name} {'differ' if 'images' in name else 'differs'}: {listed(_values(runs, lines, name))}: "
        f"what rests on {'them' if 'images' in name else 'it'} is not comparable"
        for name in dict.fromkeys(name for line in lines for name in line.unlike)
    ]
    shared = _shared_features(runs)
    for kind in dict.fromkeys(kind for run in runs for kind in features_of(run.figures)):
        if kind not in shared:
            some = [run.label for run in runs if kind in features_of(run.figures)]
            said.append(f"quality on {kind} is left out: not every report has it ({', '.join(some)})")
    return said


def differences(runs: Sequence[Finished]) -> dict[str, Labels]:
    """Fields of the configuration that are not the same in all runs that have them."""
    flat = [_fields(run.figures) for run in runs]
    found: dict[str, Labels] = {}
    for name in dict.fromkeys(name for fields in flat for name in fields):
        by_value: Labels = {}
        for run, fields in zip(runs, flat, strict=True):
            if name in fields:
                by_value.setdefault(_shown(fields[name]), []).append(run.label)
        if len(by_value) > 1:
            found[name] = by_value
    return found


def listed(by_value: Labels) -> str:
    """Values, each with the runs that have it."""
    return "; ".join(f"{value} ({', '.join(labels)})" for value, labels in by_value.items())


def _apart(title: str, blocks: Sequence[Block]) -> list[Section]:
    """Figures that compare, though what is beside them may not; and those that do not, under a heading that says so."""
    alike = [[block[0], *(line.marked for line in block[1:])] for block in blocks if not block[0].unlike]
    unlike = [block for block in blocks if block[0].unlike]
    found = [Section(title, alike)] if alike else []
    if unlike:
        why = dict.fromkeys(name for block in unlike for name in block[0].unlike)
        found.append(Section(f"{title}; not comparable ({', '.join(why)})", unlike))
    return found


def _shared_features(runs: Sequence[Finished]) -> list[str]:
    first, *others = (features_of(run.figures) for run in runs)
    return [kind for kind in first if all(kind in other for other in others)]


def _values(runs: Sequence[Finished], lines: Sequence[Line], name: str) -> Labels:
    """On which value of what is called so the runs' figures rest."""
    by_value: Labels = {}
    for number, run in enumerate(runs):
        bases = (line.bases[number] for line in lines)
        value = next((rests_on[name] for rests_on in bases if rests_on is not None and name in rests_on), None)
        if value is not None:
            by_value.setdefault(value, []).append(run.label)
    return by_value


def _fields(figures: Figures) -> dict[str, Any]:
    """A model or images that were given were made by other settings than the run's: those of training are left out."""
    audit = figures.config.get("audit") or {}
    given = bool(audit.get("model") or audit.get("images"))
    flat = flat_fields(figures.config)
    return {name: value for name, value in flat.items() if not given or name.partition(".")[0] in _OF_AUDITS}


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _letters(number: int) -> str:
    """A to Z, then AA, AB and on."""
    more, place = divmod(number, len(ascii_uppercase))
    return (_letters(more - 1) if more else "") + ascii_uppercase[place]
