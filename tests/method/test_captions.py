"""Augmented captions: one word more, or some words replaced, the same for the same number."""

from collections import Counter

from unecho.components.method.captions import REPLACED, repeat_word, replace_words

CAPTION = "a red fox  jumps over the lazy dog"
VOCABULARY = [f"word{i}" for i in range(50)]


def test_a_word_is_repeated_once_at_any_place() -> None:
    found = [repeat_word(CAPTION, number) for number in range(300)]
    words = Counter(CAPTION.split())
    repeated, places = set(), set()
    for text in found:
        (word,) = (Counter(text.split()) - words).elements()
        repeated.add(word)
        rest = text.split()
        places |= {i for i in range(len(rest)) if rest[:i] + rest[i + 1 :] == CAPTION.split()}
    assert repeated == set(words)
    assert places == set(range(len(words) + 1))


def test_at_least_one_word_is_replaced_by_one_of_the_vocabulary() -> None:
    counts = []
    for number in range(300):
        words = replace_words(CAPTION, number, VOCABULARY).split()
        assert len(words) == 8
        changed = [new for new, old in zip(words, CAPTION.split(), strict=True) if new != old]
        assert set(changed) <= set(VOCABULARY)
        counts.append(len(changed))
    assert min(counts) == 1
    # one where the binomial of 8 and 0.1 gives none, else as many: 0.8 + 0.9^8
    assert abs(sum(counts) / 300 - (8 * REPLACED + (1 - REPLACED) ** 8)) < 0.15


def test_they_are_functions_of_caption_and_number() -> None:
    for number in range(5):
        assert repeat_word(CAPTION, number) == repeat_word(CAPTION, number)
        assert replace_words(CAPTION, number, VOCABULARY) == replace_words(CAPTION, number, VOCABULARY)
    assert len({repeat_word(CAPTION, number) for number in range(40)}) > 20
    assert len({replace_words(CAPTION, number, VOCABULARY) for number in range(40)}) > 20


def test_no_caption_stays_none_and_no_vocabulary_replaces_nothing() -> None:
    assert repeat_word("", 0) == ""
    assert replace_words("", 0, VOCABULARY) == ""
    assert replace_words(CAPTION, 0, ()) == CAPTION
    assert repeat_word("fox", 0) == "fox fox"
    assert replace_words("fox", 0, ["hen"]) == "hen"
