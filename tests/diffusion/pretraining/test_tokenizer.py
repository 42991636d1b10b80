"""The tokenizer of a base model's captions: CLIP's in form, the data's in vocabulary."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from unecho.components.diffusion.pretraining.tokenizer import open_tokenizer, token_ids, train_tokenizer

CAPTIONS = ["red bird, animal", "Red Bird on a tree", "red birds", "a tree", "tree house", "blue bird house"] * 2


def test_frequent_words_are_one_token_and_any_text_has_tokens_that_give_it_back() -> None:
    tokenizer = open_tokenizer(train_tokenizer(CAPTIONS, 2000), 16)
    assert tokenizer.tokenize("Red bird") == ["red</w>", "bird</w>"]
    for text in ("\u00e9tude", "\u9ce5", "qx", "\U0001f426"):  # none of it stands in the captions
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_the_vocabulary_has_every_byte_twice_the_merges_and_the_two_ends_last() -> None:
    files = train_tokenizer(CAPTIONS, 520)
    tokenizer = open_tokenizer(files, 16)
    merges = files["merges.txt"].decode().splitlines()[1:]
    assert len(merges) == 6
    assert len(tokenizer) == 512 + 6 + 2
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (518, 519, 519)


def test_ids_begin_end_and_fill_up_as_a_pipeline_has_them() -> None:
    tokenizer = open_tokenizer(train_tokenizer(CAPTIONS, 2000), 5)
    red, tree = tokenizer.convert_tokens_to_ids(["red</w>", "tree</w>"])
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert token_ids(tokenizer, ["red tree", "", "red red red tree"]).tolist() == [
        [begin, red, tree, end, end],
        [begin, end, end, end, end],
        [begin, red, red, red, end],  # cut
    ]


def test_the_same_captions_give_the_same_files_in_any_process() -> None:
    code = (
        "import sys; from unecho.components.diffusion.pretraining.tokenizer import train_tokenizer; "
        f"files = train_tokenizer({CAPTIONS!r}, 2000); sys.stdout.buffer.write(b'|'.join(files.values()))"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env=os.environ | {"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(made) == 1


@pytest.mark.parametrize("only", [None, ("vocab.json", "merges.txt", "tokenizer_config.json")])
def test_a_saved_tokenizer_loads_and_gives_the_same_ids(only: tuple[str, ...] | None, tmp_path: Path) -> None:
    files = train_tokenizer(CAPTIONS, 2000)
    tokenizer = open_tokenizer(files, 16)
    tokenizer.save_pretrained(tmp_path)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    if only:
        for path in tmp_path.iterdir():
            if path.name not in only:
                path.unlink()
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    texts = ["red bird, on a tree", "\u9ce5 q"]
    assert loaded.model_max_length == 16
    assert loaded(texts, padding="max_length").input_ids == tokenizer(texts, padding="max_length").input_ids
