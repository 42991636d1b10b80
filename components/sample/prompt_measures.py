"""The prompts of a part, measured while its pipelines are in memory."""

from collections.abc import Sequence
from typing import Final

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from ..config import RunConfig
from ..config.counts import part_bounds
from ..diffusion.guidance import not_guided
from ..progress import Progress
from ..run import Run
from ..run.measured_prompts import NOTES, TENSORS, MeasuredPrompt, PromptPart, measured_prompts
from ..run.tensors import state_bytes
from .on_noises import OnNoises

_LOOKED_AT: Final = 5
"""Training captions of the highest magnitude whose tokens are looked at, in each part: the worst of all are among
them."""


class PromptMeasures:
    """This part's share of the prompts, in whole batches, so that parts do not matter."""

    def __init__(self, run: Run, config: RunConfig, index: int, progress: Progress) -> None:
        self._config, self._progress, self._first = config, progress, index == 0
        self._part = measured_prompts(run, config)
        if self._part is not None:
            start, stop = part_bounds(config, index, len(self._part.prompts))
            self._part = self._part.model_copy(update={"prompts": self._part.prompts[start:stop]})
        self._found: dict[str, Tensor] = {}

    @property
    def of_base(self) -> bool:
        """Whether the base model is to be measured too: a fine-tune's."""
        return bool(self._found) and not self._config.is_audit

    def released(self, pipeline: DiffusionPipeline) -> None:
        """Measure the model that is sampled, and look at the tokens of the worst training captions."""
        if self._part is None or self._part.unmeasured:
            return
        if reason := not_guided(pipeline):
            self._part = PromptPart(unmeasured=reason)
            return
        if not self._part.prompts:
            return
        guidance, prompts = self._on_noises(pipeline), self._part.prompts
        self._found = self._values(guidance, "prompts")
        if self._refuse_what_is_no_number():
            return
        looked_at = _highest(prompts, self._found["magnitude"])
        tokens = {place: guidance.attribution(prompts[place].text) for place in looked_at}
        noted = [prompt.model_copy(update={"tokens": tokens.get(place)}) for place, prompt in enumerate(prompts)]
        self._part = self._part.model_copy(update={"prompts": noted})

    def base(self, pipeline: DiffusionPipeline) -> None:
        """Measure the base model, on the same prompts and noise."""
        found = self._values(self._on_noises(pipeline), "prompts by the base model")
        self._found |= {f"base_{name}": values for name, values in found.items()}
        self._refuse_what_is_no_number()

    def files(self) -> dict[str, bytes]:
        """The objects of the record; none where this part has nothing to say."""
        if self._part is None or not (self._part.prompts or self._part.unmeasured or self._first):
            return {}
        notes = {NOTES: self._part.model_dump_json(exclude_none=True).encode()}
        return notes | ({TENSORS: state_bytes(self._found)} if self._found else {})

    def _on_noises(self, pipeline: DiffusionPipeline) -> OnNoises:
        return OnNoises.of(pipeline, self._config.seed, self._config.evaluate.prompt_seeds)

    def _refuse_what_is_no_number(self) -> bool:
        if all(bool(torch.isfinite(values).all()) for values in self._found.values()):
            return False
        self._part, self._found = PromptPart(unmeasured="some predictions of the model are not numbers"), {}
        return True

    def _values(self, guidance: OnNoises, unit: str) -> dict[str, Tensor]:
        """Both measures of each prompt under each seed, float32 [n, seeds]."""
        assert self._part is not None
        texts, size = [prompt.text for prompt in self._part.prompts], self._config.sample.batch_size
        parts = []
        for first in range(0, len(texts), size):
            parts.append(guidance.measured(texts[first : first + size]))
            self._progress.update(min(first + size, len(texts)), len(texts), unit)
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _highest(prompts: Sequence[MeasuredPrompt], values: Tensor) -> list[int]:
    """Places of the training captions of the highest magnitude."""
    means = values.double().mean(dim=1).tolist()
    training = [place for place, prompt in enumerate(prompts) if prompt.kind == "training"]
    return sorted(training, key=lambda place: -means[place])[:_LOOKED_AT]
