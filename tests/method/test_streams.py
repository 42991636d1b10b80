"""Random streams: all bits of torch's CPU generator come from what the stream is for."""

import hashlib

import numpy as np
import torch

from unecho.components.method.streams import begin_default, generator_of


def test_a_stream_is_numpys_mersenne_twister_from_the_same_words() -> None:
    """Written into numpy's generator, the words draw what torch draws: the state is read where it was written."""
    words = np.frombuffer(hashlib.shake_256(b"order 7 3 11").digest(624 * 4), "<u4").copy()
    words[0] |= 0x80000000
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": 624}}
    expected = (twister.random_raw(2000) % 2**24) / 2**24  # a float32 takes 24 bits
    drawn = torch.rand(2000, generator=generator_of("order", 7, 3, 11))
    np.testing.assert_array_equal(drawn.numpy(), expected.astype(np.float32))


def test_no_two_of_many_streams_begin_alike() -> None:
    """Seeded by 32 bits, two of 65,536 would in 39 % of sets; 16 floats have 384 bits."""
    firsts = {torch.rand(16, generator=generator_of("step", 0, 0, i)).numpy().tobytes() for i in range(65_536)}
    assert len(firsts) == 65_536


def test_the_default_generator_forgets_what_was_drawn_before() -> None:
    drawn = []
    for before in (0, 5):
        torch.randn(before)  # an odd number leaves a normal draw in the cache
        begin_default(torch.device("cpu"), "step", 1, 2, 3)
        drawn.append((torch.randint(1000, (7,)), torch.randn(3), torch.rand(2)))
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))
    expected = generator_of("step", 1, 2, 3)
    assert torch.equal(drawn[0][0], torch.randint(1000, (7,), generator=expected))
    assert torch.equal(drawn[0][1], torch.randn(3, generator=expected))
