"""Random numbers by counting: those of the paper's authors, and what normal values are made of them."""

import math

import pytest
import torch

from unecho.components.method.philox import NormalStreams, philox, round_keys

MASK = 2**32 - 1


def signed(number: int) -> int:
    """64 bits as two's complement."""
    return number - 2**64 if number >= 2**63 else number


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_words_are_the_known_answers_of_random123(counter: str, key: str, expected: str) -> None:
    """Lines `philox4x32 10` of kat_vectors in Random123 1.14."""
    c, k = ([int(word, 16) for word in text.split()] for text in (counter, key))
    low, high = (torch.tensor(signed(a | b << 32)) for a, b in (c[:2], c[2:]))
    words = philox(round_keys(k[0] | k[1] << 32), low, high)
    assert " ".join(f"{int(word):08x}" for word in words) == expected


def test_a_value_is_box_and_mullers_of_the_words_at_its_place() -> None:
    """By hand: value 4 b + j of stream i comes of words 0 and 1 (j 0, 1) or 2 and 3 (j 2, 3) of block (b, i)."""
    key, streams = 0x0123456789ABCDEF, [3, 2**40 + 5]
    drawn = NormalStreams(key, streams).draw(7, torch.device("cpu"))
    assert drawn.dtype == torch.float32
    assert drawn.shape == (2, 7)
    for row, number in enumerate(streams):
        for place in range(7):
            words = philox(round_keys(key), torch.tensor(place // 4), torch.tensor(number)).tolist()
            a, b = words[:2] if place % 4 < 2 else words[2:]
            wave = math.cos if place % 2 == 0 else math.sin
            expected = math.sqrt(-2 * math.log((a + 1) / 2**32)) * wave(2 * math.pi * b / 2**32)
            assert float(drawn[row, place]) == pytest.approx(expected, abs=1e-6)


def test_a_stream_does_not_depend_on_which_others_are_drawn_beside_it() -> None:
    cpu = torch.device("cpu")
    together, alone = NormalStreams(7, range(5)), NormalStreams(7, [3])
    for count in (5, 12, 1):  # each draw begins where the last has ended, whatever its length
        assert torch.equal(together.draw(count, cpu)[3:4], alone.draw(count, cpu))


def test_values_are_normal_within_and_across_streams() -> None:
    """2^18 values: mean, variance, skewness and kurtosis within five standard errors; neighbours uncorrelated."""
    x = NormalStreams(1, range(512)).draw(512, torch.device("cpu")).double()
    n = x.numel()
    assert abs(x.mean()) < 5 / math.sqrt(n)
    assert abs(x.square().mean() - 1) < 5 * math.sqrt(2 / n)
    assert abs(x.pow(3).mean()) < 5 * math.sqrt(15 / n)
    assert abs(x.pow(4).mean() - 3) < 5 * math.sqrt(96 / n)
    for a, b in ((x[1:], x[:-1]), (x[:, 1:], x[:, :-1])):
        assert abs((a * b).mean()) < 5 / math.sqrt(a.numel())
    assert float((x.abs() > 1.959964).double().mean()) == pytest.approx(0.05, abs=5 * math.sqrt(0.05 * 0.95 / n))


def test_no_two_of_65536_streams_begin_alike() -> None:
    """By a seed of 32 bits each, two of them would in 39 % of sets; four words have 128 bits."""
    words = philox(round_keys(5), torch.tensor(0), torch.arange(65_536))
    assert len(torch.unique(words.T, dim=0)) == 65_536


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_words_are_equal_and_values_but_for_one_rounding_in_a_million() -> None:
    low, high = torch.arange(4096), torch.arange(64)[:, None]
    cuda = philox(round_keys(5).cuda(), low.cuda(), high.cuda())
    assert torch.equal(philox(round_keys(5), low, high), cuda.cpu())
    here, there = (NormalStreams(5, range(256)).draw(4096, torch.device(kind)).cpu() for kind in ("cpu", "cuda"))
    torch.testing.assert_close(here, there, rtol=1e-6, atol=1e-7)
    assert float((here != there).double().mean()) < 1e-6
