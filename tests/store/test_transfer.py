"""How ranges become requests."""

import random

import pytest

from unecho.components.store.s3.transfer import MOST_PARTS, NEAR, WRITE_PART, part_size, scatter, spans


def test_spans_cover_every_range_once_and_are_never_longer_than_allowed() -> None:
    dice = random.Random(0)
    for _ in range(50):
        wanted = [(dice.randrange(10_000), dice.randrange(600)) for _ in range(dice.randrange(30))]
        ranges = [(start, memoryview(bytearray(count))) for start, count in wanted]
        found = list(spans(ranges, near=100, longest=500))
        assert sum(len(part) for span in found for _, part in span.pieces) == sum(count for _, count in wanted)
        for span in found:
            assert span.stop - span.start <= 500
            assert span.start == span.pieces[0][0]
            assert span.stop == span.pieces[-1][0] + len(span.pieces[-1][1])
            for (one, part), (two, _) in zip(span.pieces, span.pieces[1:], strict=False):
                assert 0 <= two - (one + len(part)) <= 100


def test_ranges_join_across_a_gap_of_just_the_limit() -> None:
    def count(gap: int) -> int:
        return len(list(spans([(0, memoryview(bytearray(10))), (10 + gap, memoryview(bytearray(10)))])))

    assert (count(NEAR), count(NEAR + 1)) == (1, 2)


def test_scattering_is_right_however_the_bytes_arrive() -> None:
    data, dice = bytes(range(250)), random.Random(1)
    for _ in range(50):
        buffers = [bytearray(40), bytearray(1), bytearray(100)]
        pieces = [(10, memoryview(buffers[0])), (60, memoryview(buffers[1])), (61, memoryview(buffers[2]))]
        position, piece = 10, 0
        while position < 161:
            count = dice.randrange(1, 70)
            piece = scatter(memoryview(data)[position : position + count], position, pieces, piece)
            position += count
        assert buffers == [data[10:50], data[60:61], data[61:161]]


@pytest.mark.parametrize("size", [WRITE_PART + 1, 100 << 30, 5 << 40])
def test_an_upload_has_no_more_parts_than_s3_allows(size: int) -> None:
    assert -(-size // part_size(size)) <= MOST_PARTS
    assert part_size(size) >= WRITE_PART
