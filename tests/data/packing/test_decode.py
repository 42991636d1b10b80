"""One image file at a time: what becomes of its pixels, and what is refused."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unecho.components.data import decoding as processes
from unecho.components.data import image as decoding
from unecho.components.data.image import BadImage, Fit, decode, read_header

GREY, RGB = Fit(1, 8), Fit(3, 8)


def file(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels(channels: int = 1, height: int = 8, width: int = 8, seed: int = 0) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_grey_and_rgb_images_of_the_right_size_keep_their_pixels() -> None:
    grey, rgb = pixels(1), pixels(3)
    assert (decode(file(Image.fromarray(grey)), GREY) == grey[None]).all()
    assert (decode(file(Image.fromarray(rgb)), RGB) == rgb.transpose(2, 0, 1)).all()
    assert (decode(file(Image.fromarray(grey)), RGB) == np.stack([grey] * 3)).all()


def test_rgb_becomes_grey_by_the_luma_of_bt_601() -> None:
    flat = Image.new("RGB", (8, 8), (200, 100, 50))
    assert (decode(file(flat), GREY) == 124).all()  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [  # EXIF 2.3, tag 0x0112: where the stored row 0 and column 0 belong
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.T),
        (6, lambda a: a.T[:, ::-1]),
        (7, lambda a: a.T[::-1, ::-1]),
        (8, lambda a: a.T[::-1]),
    ],
)
def test_an_image_stands_upright_by_its_exif_orientation(format: str, orientation: int, upright: object) -> None:
    stored = pixels(1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    image = Image.fromarray(stored)
    data = file(image.convert("RGB") if format == "WEBP" else image, format, exif=exif, **options)
    assert (decode(data, GREY)[0] == upright(stored)).all()  # type: ignore[operator]


def test_a_palette_with_transparency_stands_on_the_background() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 0, 0, 200])
    image.paste(0, (0, 0, 8, 4))
    data = file(image, transparency=0)  # entry 0, red, is clear
    decoded = decode(data, Fit(3, 8, background=40))
    assert (decoded[:, :4] == 40).all()
    assert (decoded[:, 4:] == np.array([0, 0, 200])[:, None, None]).all()
    assert (decode(file(image), RGB)[:, :4] == np.array([255, 0, 0])[:, None, None]).all()  # without it, red is red


def test_alpha_mixes_with_the_background() -> None:
    rgba = Image.new("RGBA", (8, 8), (200, 100, 0, 51))  # 51 / 255 = 0.2
    assert decode(file(rgba), RGB)[:, 0, 0].tolist() == [244, 224, 204]  # 0.2 * colour + 0.8 * 255
    assert decode(file(rgba), Fit(3, 8, background=0))[:, 0, 0].tolist() == [40, 20, 0]
    la = Image.new("LA", (8, 8), (200, 51))
    assert (decode(file(la), Fit(1, 8, background=100)) == 120).all()  # 0.2 * 200 + 0.8 * 100


def test_the_transparent_colour_of_an_rgb_png_stands_on_the_background() -> None:
    image = Image.new("RGB", (8, 8), (1, 2, 3))
    image.paste((9, 9, 9), (0, 0, 4, 8))
    decoded = decode(file(image, transparency=(1, 2, 3)), RGB)
    assert (decoded[:, :, :4] == 9).all()
    assert (decoded[:, :, 4:] == 255).all()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_and_rounded_not_clipped(format: str) -> None:
    deep = np.full((8, 8), 65535, np.uint16)
    deep[0] = [0, 128, 129, 257, 1000, 32768, 65406, 65407]
    data = file(Image.fromarray(deep), format)
    decoded = decode(data, GREY)[0]
    assert decoded[0].tolist() == [0, 0, 1, 1, 4, 128, 254, 255]  # round(v * 255 / 65535)
    assert (decoded[1:] == 255).all()


def test_one_grey_level_of_a_16_bit_png_can_be_transparent() -> None:
    deep = np.full((8, 8), 257 * 7, np.uint16)
    deep[:4] = 257 * 200
    chunks = png_chunks(file(Image.fromarray(deep)))
    chunks.insert(1, (b"tRNS", struct.pack(">H", 257 * 200)))
    decoded = decode(png(chunks), GREY)[0]
    assert (decoded[:4] == 255).all()
    assert (decoded[4:] == 7).all()


def grey_tiff(strip: bytes, bits: int, photometric: int, order: str, compression: int) -> bytes:
    """8x8 pixels in one strip, from the tables of TIFF 6.0."""
    tags = {256: 8, 257: 8, 258: bits, 259: compression, 262: photometric, 273: 0, 277: 1, 278: 8, 279: len(strip)}
    start, long = 8 + 2 + 12 * len(tags) + 4, f"{order}HHII"
    entries = b"".join(struct.pack(long, tag, 4, 1, start if tag == 273 else tags[tag]) for tag in sorted(tags))
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}IH", 8, len(tags)) + entries + bytes(4) + strip


@pytest.mark.parametrize("compression", [1, 8], ids=["plain", "deflate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("bits", "level", "grey"),
    [
        (1, 1, 255),
        (4, 5, 85),  # 5 / 15 * 255
        (8, 9, 9),
        (12, 4095, 255),
        (12, 2048, 128),  # 2048 / 4095 * 255 = 127.53
        (12, 1000, 62),
        (16, 65535, 255),
        (16, 257 * 9, 9),
    ],
)
def test_grey_of_any_depth_has_its_own_white_and_may_be_inverted(
    bits: int, level: int, grey: int, order: str, compression: int
) -> None:
    if bits == 16:
        strip = struct.pack(f"{order}H", level) * 64
    else:
        strip = int(f"{level:0{bits}b}" * 64, 2).to_bytes(8 * bits, "big")
    strip = strip if compression == 1 else zlib.compress(strip)
    assert (decode(grey_tiff(strip, bits, 1, order, compression), GREY) == grey).all()
    assert (decode(grey_tiff(strip, bits, 0, order, compression), GREY) == 255 - grey).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_level_of_a_grey_png_is_of_the_files_own_depth(bits: int) -> None:
    most = 2**bits - 1
    white, black = f"{most:0{bits}b}" * 4, "0" * 4 * bits
    row = b"\0" + int(white + black, 2).to_bytes(bits, "big")
    head = struct.pack(">IIBBBBB", 8, 8, bits, 0, 0, 0, 0)
    for clear, left, right in ((most, 100, 0), (0, 255, 100)):
        chunks = [
            (b"IHDR", head),
            (b"tRNS", struct.pack(">H", clear)),
            (b"IDAT", zlib.compress(row * 8)),
            (b"IEND", b""),
        ]
        decoded = decode(png(chunks), Fit(1, 8, background=100))[0]
        assert (decoded[:, :4] == left).all()
        assert (decoded[:, 4:] == right).all()


def test_the_transparent_colour_of_a_48_bit_png_stands_on_the_background() -> None:
    row = b"\0" + struct.pack(">3H", 0x1234, 0x5678, 0x9ABC) * 4 + struct.pack(">3H", 0xFFFF, 0, 0) * 4
    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    clear = struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)
    chunks = [(b"IHDR", head), (b"tRNS", clear), (b"IDAT", zlib.compress(row * 8)), (b"IEND", b"")]
    decoded = decode(png(chunks), Fit(3, 8, background=100))
    assert (decoded[:, :, :4] == 100).all()
    assert (decoded[:, :, 4:] == np.array([255, 0, 0])[:, None, None]).all()


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP", b"tEXt"])
@pytest.mark.parametrize("place", [1, -1])
def test_metadata_that_nobody_needs_neither_refuse_nor_change_an_image(kind: bytes, place: int) -> None:
    packed = zlib.compress(bytes(3 << 20))
    data = {
        b"zTXt": b"w\0\0" + packed,
        b"iTXt": b"w\0\1\0\0\0" + packed,
        b"iCCP": b"p\0\0" + packed,
        b"tEXt": b"w\0" + b"x" * (70 << 20),
    }[kind]
    exif = Image.Exif()
    exif[0x0112] = 6
    chunks = png_chunks(file(Image.fromarray(pixels()), exif=exif))
    chunks.insert(place, (kind, data))
    assert (decode(png(chunks), GREY)[0] == pixels().T[:, ::-1]).all()
    assert read_header(png(chunks)).shorter == 8


def tiff_tags(*entries: tuple[int, int, int, bytes]) -> bytes:
    body = b"".join(struct.pack(">HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return b"MM\0*" + struct.pack(">IH", 8, len(entries)) + body + bytes(4)


UPRIGHT = (0x0112, 3, 1, b"\0\6\0\0")


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("exif", "turned"),
    [
        (tiff_tags(UPRIGHT, (0x8769, 4, 1, b"\0\1\x86\x9f")), True),  # a directory beyond the end
        (tiff_tags(UPRIGHT, (0x9000, 77, 9, b"abcd")), True),  # a type that does not exist
        (tiff_tags(UPRIGHT, (0x010F, 2, 2**32 - 1, b"\0\0\0\x1a")), True),  # text of 4 GiB
        (tiff_tags((0x0112, 2, 2, b"6\0\0\0")), False),  # as text
        (tiff_tags((0x0112, 3, 1, b"\0\x63\0\0")), False),  # 99
        (tiff_tags(UPRIGHT)[:9], False),
        (b"garbage", False),
        (b"", False),
    ],
)
def test_odd_exif_never_refuses_an_image_and_turns_it_only_where_it_says_so(
    format: str, exif: bytes, turned: bool
) -> None:
    plain = file(Image.fromarray(pixels()), format)
    if format == "PNG":
        chunks = png_chunks(plain)
        chunks.insert(1, (b"eXIf", exif))
        odd = png(chunks)
    else:
        segment = b"Exif\0\0" + exif
        odd = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    stored = decode(plain, GREY)[0]
    assert (decode(odd, GREY)[0] == (stored.T[:, ::-1] if turned else stored)).all()


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(100)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a Git LFS pointer: 'git lfs pull'"),
        (b"../../.git/annex/objects/x/y/SHA256E-s1--00.png\n", "a git-annex pointer: 'git annex get'"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page (HTML)"),
        (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>", "an error message of a server (XML)"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b'{"error": "not found"}', "JSON"),
        (HEIC, "a HEIC photograph"),
        (MP4, "a video (MP4, QuickTime)"),
        (b"RIFF\0\0\0\0AVI LIST", "a video (AVI)"),
        (b"%PDF-1.7", "a PDF"),
        (b"%!PS-Adobe-3.0", "PostScript"),
        (b"8BPS\0\1", "a Photoshop file"),
        (bytes(128) + b"DICM", "a DICOM image"),
        (b"PK\3\4" + bytes(30), "a zip archive: unpack it"),
        (b"\x1f\x8b\x08" + bytes(30), "a gzip file: unpack it"),
        (b"x" * 257 + b"ustar\0" + b"00", "a tar archive: unpack it"),
        (b"\x80\4\x95" + bytes(30), "a Python pickle"),
        (b"\x93NUMPY\1\0", "a NumPy array"),
        (b"PAR1" + bytes(30), "a Parquet table"),
        (bytes(2000), "nothing but zero bytes"),
        ("Grüße".encode() * 300, "text"),
    ],
)
def test_a_file_that_is_refused_is_said_to_be_what_it_is(data: bytes, kind: str) -> None:
    with pytest.raises(BadImage) as refused:
        decode(data, RGB)
    assert str(refused.value).startswith(f"not an image of a supported format, but {kind}")


def test_bilevel_images_are_black_and_white() -> None:
    bits = pixels(1) > 127
    for format in ("PNG", "TIFF", "PPM", "BMP", "GIF"):
        data = file(Image.fromarray(bits), format)
        assert (decode(data, GREY)[0] == np.where(bits, 255, 0)).all()


def test_cmyk_becomes_rgb() -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    assert decode(file(cyan, "TIFF"), RGB)[:, 0, 0].tolist() == [0, 255, 255]
    paper = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    assert (decode(file(paper, "JPEG"), RGB) >= 254).all()
    assert (decode(file(paper, "JPEG"), GREY) >= 254).all()


@pytest.mark.parametrize(("format", "options"), [("WEBP", {"lossless": True}), ("BMP", {}), ("GIF", {}), ("PPM", {})])
def test_lossless_formats_keep_their_pixels(format: str, options: dict[str, object]) -> None:
    grey = Image.fromarray(pixels(1))
    image = grey if format == "GIF" else grey.convert("RGB")
    assert (decode(file(image, format, **options), GREY)[0] == pixels(1)).all()


def test_crop_scales_the_shorter_side_and_cuts_the_centre() -> None:
    wide = pixels(1, 8, 13)
    assert (decode(file(Image.fromarray(wide)), GREY)[0] == wide[:, 2:10]).all()  # (13 - 8) // 2, no blur
    tall = np.zeros((64, 16), np.uint8)
    tall[24:40] = 255
    assert (decode(file(Image.fromarray(tall)), GREY) > 230).all()  # rows 24..39 of 64 are the centre square


def test_squash_scales_both_sides() -> None:
    tall = np.zeros((64, 16), np.uint8)
    tall[32:] = 255
    squashed = decode(file(Image.fromarray(tall)), Fit(1, 8, "squash"))[0]
    assert (squashed[:3] < 5).all()
    assert (squashed[5:] > 250).all()


def test_scaling_down_is_antialiased() -> None:
    chequered = np.indices((32, 32)).sum(0).astype(np.uint8) % 2 * 255
    inner = decode(file(Image.fromarray(chequered)), GREY)[0]
    assert np.abs(inner.astype(int) - 127).max() < 12  # taking every fourth pixel would give 0 everywhere


def test_none_takes_only_images_of_the_right_size() -> None:
    assert decode(file(Image.fromarray(pixels())), Fit(1, 8, "none")).shape == (1, 8, 8)
    with pytest.raises(BadImage, match=r"9 x 8 pixels, not 8 x 8 \(data.resize is none\)"):
        decode(file(Image.fromarray(pixels(1, 8, 9))), Fit(1, 8, "none"))


def test_a_photograph_with_extras_behind_it_is_taken() -> None:
    image, extra = Image.fromarray(pixels(3)), Image.fromarray(pixels(3, seed=1))
    data = file(image, "MPO", save_all=True, append_images=[extra])
    assert (decode(data, RGB) == decode(file(image, "JPEG"), RGB)).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"once upon a time", "not an image of a supported format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "not an image of a supported format"),
        (file(Image.fromarray(pixels(1, 64, 64)))[:-900], "truncated"),
        (file(Image.fromarray(pixels(3, 64, 64)), "JPEG")[:-900], "truncated"),
        (file(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"), "pixels of kind F are not supported"),
        (file(Image.fromarray(np.zeros((8, 8), np.int32)), "TIFF"), "pixels of kind I are not supported"),
        *(
            (
                file(Image.fromarray(pixels()), format, save_all=True, append_images=[Image.fromarray(pixels(seed=1))]),
                "2 frames or pages, one is supported",
            )
            for format in ("GIF", "TIFF", "PNG", "WEBP")
        ),
    ],
)
def test_what_is_not_supported_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        decode(data, RGB)


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (10_001, 10_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(width: int, height: int) -> None:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    bomb = png([(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")])
    for read in (lambda: decode(bomb, GREY), lambda: read_header(bomb)):
        with pytest.raises(BadImage, match="more than 100,000,000"):
            read()


def test_an_image_just_below_the_limit_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 64)
    assert decode(file(Image.fromarray(pixels())), GREY).shape == (1, 8, 8)
    with pytest.raises(BadImage, match="8 x 9 pixels, more than 64"):
        decode(file(Image.fromarray(pixels(1, 9, 8))), GREY)


@pytest.mark.parametrize(
    "data",
    [
        file(Image.fromarray(pixels(3))),
        file(Image.fromarray(pixels(3)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
        file(Image.fromarray(pixels(1)), "GIF"),
        file(Image.fromarray(pixels(3)), "TIFF", compression="tiff_lzw"),
        file(Image.fromarray(pixels(3)), "WEBP"),
        file(Image.fromarray(pixels(3)), "BMP"),
    ],
)
def test_a_damaged_file_gives_an_image_or_a_reason_and_nothing_else(data: bytes) -> None:
    random, reasons = np.random.default_rng(0), []
    for trial in range(120):
        damaged = bytearray(data)
        for _ in range(1 + trial % 3):
            damaged[random.integers(len(data))] = random.integers(256)
        damaged = damaged[: random.integers(len(data))] if trial % 4 == 0 else damaged
        try:
            assert decode(bytes(damaged), RGB).shape == (3, 8, 8)
        except BadImage as reason:
            reasons.append(str(reason))
    assert reasons
    assert not any("\n" in reason for reason in reasons)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    return chunks


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big") for kind, data in chunks
    )


@pytest.mark.parametrize(
    ("limit", "most"), [("50000 100000", 1), ("150000 100000", 2), ("max 100000", 10_000), (None, 10_000)]
)
def test_no_more_processes_decode_than_the_pod_may_use_cores(
    limit: str | None, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a core is one process, one and a half are two; without a limit it is the machine's cores."""
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda pid: set(range(96)), raising=False)
    monkeypatch.setattr(processes, "_LIMIT", tmp_path / "cpu.max")
    if limit:
        (tmp_path / "cpu.max").write_text(limit + "\n")
    assert processes._cores() == min(96, most)
