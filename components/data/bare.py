"""Image files less the metadata that no pixel depends on: what a reader may choke on, and no viewer needs."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL"}
"""eXIf holds the orientation; acTL says that there are several frames."""
_JPEG_KEPT = {0xE0, 0xE1, 0xEE}
"""JFIF; EXIF with the orientation; Adobe's, which says how colours are stored."""


def without_metadata(data: bytes) -> bytes | None:
    """A PNG or JPEG without text, profiles and other metadata; None where there is nothing to leave out.

    Pixels, palette, transparency, orientation and the number of frames stay.
    """
    if data.startswith(_PNG):
        bare = _bare_png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        bare = _bare_jpeg(data)
    else:
        return None
    return bare if len(bare) < len(data) else None


def _bare_png(data: bytes) -> bytes:
    kept, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        stop = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] in _PNG_KEPT or stop > len(data):
            kept.append(data[place:stop])
        place = stop
    return b"".join(kept)


def _bare_jpeg(data: bytes) -> bytes:
    kept, place = [data[:2]], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker in (0xD8, 0xD9, 0xDA):  # the scan: pixels from here on
            break
        stop = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker in _JPEG_KEPT:
            kept.append(data[place:stop])
        place = stop
    return b"".join([*kept, data[place:]])
