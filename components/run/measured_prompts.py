"""Which prompts are measured, and what a part of `sample` has found of its share."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..config import RunConfig
from ..failure import Fatal
from ..store import fetch, parsed
from .address import Run
from .prompts import Prompts, general_prompts, held_out_prompts, takes_prompts, training_prompts
from .records import SamplesRecord
from .tensors import load_state

TENSORS = "prompt_measures.safetensors"
NOTES = "prompt_measures.json"
_PICTURES = 4
"""Generated images of a caption that are named."""


class MeasuredPrompt(BaseModel):
    """A prompt that is measured."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["training", "held_out", "general"]
    text: str
    row: int = -1
    """Of a caption's image in the data set, -1 for none."""
    images: list[int] = Field(default_factory=list)
    """Generated images that are asked for by it."""
    tokens: list[tuple[str, float]] | None = None
    """Each token, and its share of the gradients' norms, where they were looked at."""


class PromptPart(BaseModel):
    """What a part says beside its numbers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    unmeasured: str | None = None
    """Why nothing is measured."""
    on_both_sides: int = 0
    """Captions that stand on both sides of the split, and are left out."""
    of: int | None = None
    """Prompts of all parts: fewer are there where a part was sampled by a program that measured none."""
    prompts: list[MeasuredPrompt] = Field(default_factory=list)


def measured_prompts(run: Run, config: RunConfig) -> PromptPart | None:
    """`evaluate.prompts` distinct captions of training and of held-out images, and as many general prompts.

    The captions come in the order in which images are asked for, so that those of the training images have images where
    `sample.prompts` is training. One that stands on both sides says nothing about either.

    Returns:
        all prompts, in order; None for a model that takes none, or where none are asked for.
    """
    if not config.evaluate.prompts or not takes_prompts(run, config):
        return None
    training, held_out = training_prompts(run, config), held_out_prompts(run, config)
    if training is None:
        return PromptPart(unmeasured="none of the training images has a caption")
    known, other = (set(map(_as_read, of.texts())) if of else set() for of in (training, held_out))
    both, most = known & other, config.evaluate.prompts
    pictured = config.sample.count if config.sample.prompts == "training" else 0
    prompts = [
        MeasuredPrompt(kind="training", text=text, row=training.row(i), images=_asked(training, i, text, pictured))
        for i, text in _distinct(training, both, most)
    ]
    if not prompts:
        return PromptPart(unmeasured="every caption of the training images is a held-out one's too")
    if held_out:
        prompts += [MeasuredPrompt(kind="held_out", text=text) for _, text in _distinct(held_out, both, most)]
    if general := general_prompts(run, config):
        prompts += [MeasuredPrompt(kind="general", text=text) for _, text in _distinct(general, known, most)]
    return PromptPart(on_both_sides=len(both), of=len(prompts), prompts=prompts)


def _distinct(prompts: Prompts, without: set[str], most: int) -> list[tuple[int, str]]:
    """Index and text of the first prompts of which no two read the same."""
    found: dict[str, tuple[int, str]] = {}
    for index in range(len(prompts)):
        text = prompts([index])[0]
        read = _as_read(text)
        if read and read not in without and read not in found:
            found[read] = (index, text)
            if len(found) == most:
                break
    return list(found.values())


def _as_read(text: str) -> str:
    """A text as CLIP's tokenizer takes it: neither case nor white space counts."""
    return " ".join(text.lower().split())


def _asked(prompts: Prompts, index: int, text: str, count: int) -> list[int]:
    """The first of `count` images that are asked for by the text of image `index`."""
    same = (i for i in range(index, count, len(prompts)) if prompts([i])[0] == text)
    return [i for i, _ in zip(same, range(_PICTURES), strict=False)]


def read_prompt_parts(
    run: Run, parts: Sequence[SamplesRecord]
) -> tuple[PromptPart, dict[str, NDArray[np.float64]]] | None:
    """What the parts of `sample` have found together: prompts in order, and numbers [n, seeds] by name.

    Returns:
        None where prompts were not measured, or some parts did not measure theirs, as before there was such a measure.

    Raises:
        Fatal: an object is missing or altered; names it.
    """
    notes: list[PromptPart] = []
    numbers: dict[str, list[NDArray[np.float64]]] = {}
    for record in parts:
        if (ref := record.objects.get(NOTES)) is None:
            continue
        note = parsed(run.store, ref.key, fetch(run.store, ref), PromptPart)
        notes.append(note)
        if (tensors := record.objects.get(TENSORS)) is None:
            continue
        for name, tensor in load_state(run.store, tensors).items():
            if len(tensor) != len(note.prompts):
                where = run.store.address(tensors.key)
                raise Fatal(f"{where}: altered: '{name}' of {len(tensor)} prompts, not {len(note.prompts)}")
            numbers.setdefault(name, []).append(tensor.double().numpy())
    if not notes:
        return None
    reason = next((note.unmeasured for note in notes if note.unmeasured), None)
    prompts = [] if reason else [prompt for note in notes for prompt in note.prompts]
    if not reason and notes[0].of not in (None, len(prompts)):
        return None
    whole = notes[0].model_copy(update={"unmeasured": reason, "prompts": prompts})
    return whole, {} if reason else {name: np.concatenate(of) for name, of in numbers.items()}
