"""Augmentations of captions: a word repeated, words replaced (arXiv 2305.20086, section 5)."""

from collections.abc import Sequence

import numpy as np

from .streams import seed_of

REPLACED = 0.1
"""Share of the words that `replace_words` replaces; one at least."""


def repeat_word(caption: str, number: int) -> str:
    """The caption with one of its words a second time, at a random place (caption word repetition).

    Args:
        number: of the variant; the same number is the same text.
    """
    words, random = caption.split(), _random("repeat word", caption, number)
    if not words:
        return caption
    word = words[int(random.integers(len(words)))]
    words.insert(int(random.integers(len(words) + 1)), word)
    return " ".join(words)


def replace_words(caption: str, number: int, vocabulary: Sequence[str]) -> str:
    """The caption with some of its words replaced by random ones (random token replacement).

    Args:
        vocabulary: words of the model's tokenizer.
    """
    words, random = caption.split(), _random("replace words", caption, number)
    if not words or not vocabulary:
        return caption
    replaced = random.random(len(words)) < REPLACED
    replaced[int(random.integers(len(words)))] |= not replaced.any()
    return " ".join(
        vocabulary[int(random.integers(len(vocabulary)))] if change else word
        for word, change in zip(words, replaced.tolist(), strict=True)
    )


def _random(purpose: str, caption: str, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed_of(f"{purpose} {caption}", number)))
