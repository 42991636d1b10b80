"""CLIP's tokenizer with a vocabulary of the data's own captions."""

import json
from collections.abc import Iterable, Sequence
from typing import Final

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import Tensor
from transformers import CLIPTokenizer

_START, _END, _END_OF_WORD = "<|startoftext|>", "<|endoftext|>", "</w>"
_LEAST: Final = 2
"""Times that a pair must stand in the captions to become a token."""
FILES: Final = ("vocab.json", "merges.txt")


def train_tokenizer(captions: Iterable[str], vocabulary: int) -> dict[str, bytes]:
    """Learn byte pairs: CLIP's vocab.json and merges.txt, the same bytes for the same captions.

    Any text has tokens: every byte is one, inside of a word and at its end.

    Args:
        vocabulary: tokens at most.
    """
    clip = CLIPTokenizer()
    trained = Tokenizer(BPE(end_of_word_suffix=_END_OF_WORD))
    trained.normalizer, trained.pre_tokenizer = clip.backend_tokenizer.normalizer, clip.backend_tokenizer.pre_tokenizer
    bytes_ = sorted(ByteLevel.alphabet())
    # given as special tokens they are numbered first and in this order: left to the trainer, those at the ends of words
    # would be numbered as a hash map happens to hold the words, and ties between pairs are decided by number
    single = [*bytes_, *(f"{byte}{_END_OF_WORD}" for byte in bytes_)]
    trainer = BpeTrainer(
        vocab_size=vocabulary - 2,
        min_frequency=_LEAST,
        special_tokens=single,
        end_of_word_suffix=_END_OF_WORD,
        show_progress=False,
    )
    trained.train_from_iterator(captions, trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = [*sorted(model["vocab"], key=model["vocab"].__getitem__), _START, _END]
    merges = "".join(f"{first} {second}\n" for first, second in model["merges"])
    vocab = json.dumps({token: number for number, token in enumerate(tokens)}, ensure_ascii=False)
    return {"vocab.json": vocab.encode(), "merges.txt": f"#version: 0.2\n{merges}".encode()}


def open_tokenizer(files: dict[str, bytes], max_length: int) -> CLIPTokenizer:
    """The tokenizer of `train_tokenizer`'s files.

    Args:
        max_length: tokens of a caption.
    """
    merges = [tuple(line.split(" ")) for line in files["merges.txt"].decode().splitlines()[1:]]
    return CLIPTokenizer(vocab=json.loads(files["vocab.json"]), merges=merges, model_max_length=max_length)


def token_ids(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Ids as a pipeline makes them, filled up to the tokenizer's length: int64 [n, L]."""
    length = tokenizer.model_max_length
    found = tokenizer(list(captions), padding="max_length", max_length=length, truncation=True)
    return torch.tensor(found.input_ids, dtype=torch.int64)
