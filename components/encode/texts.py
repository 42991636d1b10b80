"""Which texts a run may train on: each sample's captions, and their augmented forms, each distinct one once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import RunConfig
from ..data import Dataset
from ..failure import Fatal
from ..method.augment import rewritten_kinds
from ..method.captions import repeat_word, replace_words


@dataclass(frozen=True)
class Texts:
    """The distinct texts, and which of them each training sample has.

    Attributes:
        texts: the empty one first.
        caption_start, caption_text: the texts of sample i are caption_text[caption_start[i] : caption_start[i + 1]],
            at least one; int64 [n + 1] and [m].
        variant_text: of its augmented captions by kind and number, int64 [n, kinds, variants].
        without: samples that have no caption; their text is the empty one.
    """

    texts: list[str]
    caption_start: Tensor
    caption_text: Tensor
    variant_text: Tensor
    without: int


def texts_of(config: RunConfig, dataset: Dataset, vocabulary: Callable[[], Sequence[str]]) -> Texts:
    """The texts of the training samples, in the order of their rows.

    Args:
        vocabulary: of the model's tokenizer; asked for where words are replaced.

    Raises:
        Fatal: no training sample has a caption.
    """
    kinds = rewritten_kinds(config)
    words = vocabulary() if "replace_words" in kinds else ()
    numbers, start, captions, variants = {"": 0}, [0], list[int](), list[list[list[int]]]()

    def number_of(text: str) -> int:
        return numbers.setdefault(text, len(numbers))

    without = 0
    for row in dataset.train_rows.tolist():
        own = dataset.captions(row)
        without += not own
        captions += [number_of(text) for text in own or ("",)]
        start.append(len(captions))
        if not kinds:
            continue
        of_sample = []
        for kind in kinds:
            texts = [(own or ("",))[number % max(1, len(own))] for number in range(config.encode.variants)]
            of_sample.append(
                [
                    number_of(
                        repeat_word(text, number) if kind == "repeat_word" else replace_words(text, number, words)
                    )
                    for number, text in enumerate(texts)
                ]
            )
        variants.append(of_sample)
    if without == len(dataset.train_rows):
        raise Fatal(
            f"data.source: {config.data.source}: none of its {without} training images has a caption, and a "
            "text-to-image model is trained on captions: put a .txt beside each image, or a metadata.jsonl"
        )
    shape = (len(dataset.train_rows), len(kinds), config.encode.variants)
    return Texts(
        texts=list(numbers),
        caption_start=torch.tensor(start),
        caption_text=torch.tensor(captions),
        variant_text=torch.tensor(np.array(variants, np.int64).reshape(shape)) if kinds else torch.zeros(shape).long(),
        without=without,
    )
