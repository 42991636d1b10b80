"""What a text-to-image model is asked for: the prompt of each image, by its index."""

from collections.abc import Sequence
from typing import Literal

import torch

from ..config import RunConfig
from ..failure import Fatal
from ..method.streams import generator_of
from .address import Run
from .given_files import check_file, read_prompts
from .records import DatasetRecord, ModelRecord, Plan
from .tensors import load_json


class Prompts:
    """Prompts in an order that is drawn once; image i has the one at place i, counted around."""

    def __init__(self, texts: Sequence[Sequence[str]], rows: Sequence[int], seed: int) -> None:
        """
        Args:
            texts: one or several for each source of prompts: one after another, whenever it is its turn.
            rows: in the data set, one a source; -1 for none.
        """
        self._texts, self._rows = texts, rows
        order: list[int] = torch.randperm(len(texts), generator=generator_of("prompts", seed)).tolist()
        self._order = order

    def __call__(self, indices: Sequence[int]) -> list[str]:
        """The prompts of these images."""
        return [self._text(index) for index in indices]

    def __len__(self) -> int:
        """How many sources: as many images have one each before any has its second turn."""
        return len(self._order)

    def texts(self) -> list[str]:
        """All prompts of all sources."""
        return [text for of_source in self._texts for text in of_source]

    def row(self, index: int) -> int:
        """The row whose caption image `index` was asked for, -1 for none."""
        return self._rows[self._order[index % len(self._order)]]

    def _text(self, index: int) -> str:
        turn, place = divmod(index, len(self._order))
        of_source = self._texts[self._order[place]]
        return of_source[turn % len(of_source)]


def prompts_of(run: Run, config: RunConfig) -> Prompts | None:
    """The run's prompts; None for a model that takes none.

    Raises:
        Fatal: there is none: no caption, or an empty file; or the file holds something else than when the run was
            planned; names the field.
    """
    if not takes_prompts(run, config):
        return None
    if config.sample.prompts == "file":
        return _of_file(run, config, "sample.prompts_file")
    apart = run.load(DatasetRecord).held_out_set if config.sample.prompts == "held_out" else None
    own = _captions(run, config, apart, training=config.sample.prompts == "training")
    if not own:
        side = "training" if config.sample.prompts == "training" else "held-out"
        raise Fatal(
            f"sample.prompts: {config.sample.prompts}: none of the {side} images has a caption: choose another, or "
            "give prompts in a file (sample.prompts=file, sample.prompts_file)"
        )
    return _in_turn(own, config)


def training_prompts(run: Run, config: RunConfig) -> Prompts | None:
    """The captions of the training images; None where none of them has one."""
    own = _captions(run, config, None, training=True)
    return _in_turn(own, config) if own else None


def held_out_prompts(run: Run, config: RunConfig) -> Prompts | None:
    """The captions of the held-out images; None where none of them has one."""
    own = _captions(run, config, run.load(DatasetRecord).held_out_set, training=False)
    return _in_turn(own, config) if own else None


def general_prompts(run: Run, config: RunConfig) -> Prompts | None:
    """The prompts of `sample.general_prompts`; None where no file is given.

    Raises:
        Fatal: none is in it, or it holds something else than when the run was planned; names the field.
    """
    return None if config.sample.general_prompts is None else _of_file(run, config, "sample.general_prompts")


def takes_prompts(run: Run, config: RunConfig) -> bool:
    """Whether the model makes images from a text; of a pipeline that is given, its description says so."""
    if config.audit.model is not None:
        return bool(load_json(run.store, run.load(ModelRecord, 0).objects["network.json"])["prompted"])
    return config.model.family == "latents" and config.audit.images is None


def _captions(run: Run, config: RunConfig, apart: str | None, training: bool) -> list[tuple[int, Sequence[str]]]:
    """Row and captions of each image of a side that has some; row -1 where it is none of the training images' data set.

    Args:
        apart: digest of a data set whose images are all held out, to be taken in place of those that the split has.
    """
    dataset = run.dataset(config) if apart is None else run.dataset(config, apart)
    rows = dataset.train_rows if training or apart else dataset.held_out_rows
    own = [(-1 if apart else row, dataset.captions(row)) for row in rows.tolist()]
    return [(row, captions) for row, captions in own if captions]


def _in_turn(own: Sequence[tuple[int, Sequence[str]]], config: RunConfig) -> Prompts:
    return Prompts([captions for _, captions in own], [row for row, _ in own], config.seed)


def _of_file(run: Run, config: RunConfig, field: Literal["sample.prompts_file", "sample.general_prompts"]) -> Prompts:
    if planned := run.find(Plan, 0):  # its files are those of every revision
        check_file(config, planned.files, field)
    address = config.sample.prompts_file if field == "sample.prompts_file" else config.sample.general_prompts
    assert address is not None
    texts = [(prompt,) for prompt in read_prompts(field, address)]
    return Prompts(texts, [-1] * len(texts), config.seed)
