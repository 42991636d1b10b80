"""What a file is by its first bytes, for the line that says why it is not taken."""

import re
from dataclasses import dataclass

HEAD = 1024
"""So many first bytes are enough."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: with its article, such as "a web page (HTML)".
        advice: what to do with it; empty where there is nothing better than to remove it.
    """

    name: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.advice}" if self.advice else self.name


_UNPACK = "unpack it"
_CONVERT = "save it as PNG or JPEG"
_FETCH = "fetch the file itself"

_BY_BYTES: tuple[tuple[bytes, int, Kind], ...] = (
    (b"version https://git-lfs.github.com/", 0, Kind("a Git LFS pointer", "'git lfs pull' fetches the file itself")),
    (b"version https://hawser.github.com/", 0, Kind("a Git LFS pointer", "'git lfs pull' fetches the file itself")),
    (b"PK\x03\x04", 0, Kind("a zip archive", _UNPACK)),
    (b"PK\x05\x06", 0, Kind("a zip archive", _UNPACK)),
    (b"\x1f\x8b", 0, Kind("a gzip file", _UNPACK)),
    (b"ustar", 257, Kind("a tar archive", _UNPACK)),
    (b"BZh", 0, Kind("a bzip2 file", _UNPACK)),
    (b"\xfd7zXZ\0", 0, Kind("an xz file", _UNPACK)),
    (b"\x28\xb5\x2f\xfd", 0, Kind("a zstd file", _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", 0, Kind("a 7z archive", _UNPACK)),
    (b"Rar!\x1a\x07", 0, Kind("a rar archive", _UNPACK)),
    (b"%PDF-", 0, Kind("a PDF", _CONVERT)),
    (b"%!PS", 0, Kind("PostScript", _CONVERT)),
    (b"8BPS", 0, Kind("a Photoshop file (PSD)", _CONVERT)),
    (b"\xff\x0a", 0, Kind("a JPEG XL image", _CONVERT)),
    (b"\0\0\0\x0cJXL \r\n\x87\n", 0, Kind("a JPEG XL image", _CONVERT)),
    (b"\x76\x2f\x31\x01", 0, Kind("an OpenEXR image", _CONVERT)),
    (b"#?RADIANCE", 0, Kind("a Radiance HDR image", _CONVERT)),
    (b"SIMPLE  =", 0, Kind("a FITS image", _CONVERT)),
    (b"DICM", 128, Kind("a DICOM image", _CONVERT)),
    (b"FUJIFILMCCD-RAW", 0, Kind("a camera's raw image (RAF)", _CONVERT)),
    (b"IIU\0", 0, Kind("a camera's raw image (RW2)", _CONVERT)),
    (b"IIRO", 0, Kind("a camera's raw image (ORF)", _CONVERT)),
    (b"\0\0\1\0", 0, Kind("an icon (ICO)", _CONVERT)),
    (b"DDS ", 0, Kind("a DDS texture", _CONVERT)),
    (b"gimp xcf", 0, Kind("a GIMP file (XCF)", _CONVERT)),
    (b"AT&TFORM", 0, Kind("a DjVu document", _CONVERT)),
    (b"\x1aE\xdf\xa3", 0, Kind("a video (Matroska, WebM)", "save its frames as PNG or JPEG")),
    (b"AVI ", 8, Kind("a video (AVI)", "save its frames as PNG or JPEG")),
    (b"\0\0\1\xba", 0, Kind("a video (MPEG)", "save its frames as PNG or JPEG")),
    (b"\0\0\1\xb3", 0, Kind("a video (MPEG)", "save its frames as PNG or JPEG")),
    (b"FLV\1", 0, Kind("a video (FLV)", "save its frames as PNG or JPEG")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, Kind("a video or sound (ASF)")),
    (b"WAVE", 8, Kind("sound (WAV)")),
    (b"ID3", 0, Kind("sound (MP3)")),
    (b"OggS", 0, Kind("sound or video (Ogg)")),
    (b"fLaC", 0, Kind("sound (FLAC)")),
    (b"\x93NUMPY", 0, Kind("a NumPy array", _CONVERT)),
    (b"\x89HDF\r\n\x1a\n", 0, Kind("an HDF5 file", _CONVERT)),
    (b"MATLAB 5.0", 0, Kind("a MATLAB file", _CONVERT)),
    (b"PAR1", 0, Kind("a Parquet table", "save its images as files")),
    (b"ARROW1", 0, Kind("an Arrow table", "save its images as files")),
    (b"SQLite format 3\0", 0, Kind("an SQLite database")),
    (b"\x7fELF", 0, Kind("a program")),
    (b"MZ", 0, Kind("a program for Windows")),
    (b"\0\5\x16\7", 0, Kind("an AppleDouble file of macOS, which holds no image")),
    (b"\0\0\x08\x03", 0, Kind("an IDX file of images", "data.layout=idx reads it")),
    (b"\0\0\x08\x01", 0, Kind("an IDX file of labels")),
)

_BRANDS = {
    Kind("a HEIC photograph", _CONVERT): "heic heix heim heis hevc hevx hevm hevs mif1 msf1",
    Kind("an AVIF image", _CONVERT): "avif avis",
    Kind("a camera's raw image (CR3)", _CONVERT): "crx",
}
_BY_BRAND = {brand.encode().ljust(4): kind for kind, brands in _BRANDS.items() for brand in brands.split()}
_VIDEO = Kind("a video (MP4, QuickTime)", "save its frames as PNG or JPEG")

_IMAGES: tuple[tuple[bytes, int, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, "PNG"),
    (b"\xff\xd8\xff", 0, "JPEG"),
    (b"GIF8", 0, "GIF"),
    (b"WEBP", 8, "WebP"),
    (b"II*\0", 0, "TIFF"),
    (b"MM\0*", 0, "TIFF"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000"),
    (b"ftypavif", 4, "AVIF"),
    (b"BM", 0, "BMP"),
)

_EMPTY = Kind("an empty file")
_SVG = Kind("an SVG drawing", _CONVERT)
_HTML = Kind("a web page (HTML)", "a download has failed: " + _FETCH)
_ERROR = Kind("an error message of a server (XML)", "a download has failed: " + _FETCH)
_ANNEX = Kind("a git-annex pointer", "'git annex get' fetches the file itself")
_PICKLE = Kind("a Python pickle", "it is never opened, since a pickle may run any program")
_ZEROS = Kind("nothing but zero bytes", "copying it has failed: " + _FETCH)
_TEXT = Kind("text")


def image_format(head: bytes) -> str | None:
    """The format of an image by its first bytes, or None where they are not those of one that is read."""
    return next((name for magic, at, name in _IMAGES if head[at : at + len(magic)] == magic), None)


def kind_of(head: bytes) -> Kind | None:
    """What a file is that is no image of a format that is read; None where its first bytes do not say.

    Args:
        head: the first `HEAD` bytes, or all where there are less.
    """
    if not head:
        return _EMPTY
    for magic, at, kind in _BY_BYTES:
        if head[at : at + len(magic)] == magic:
            return kind
    if head[4:8] == b"ftyp":
        return _brand(head)
    if head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5" and len(head) > 1:
        return _PICKLE
    if not head.strip(b"\0"):
        return _ZEROS
    return _text(head)


def _brand(head: bytes) -> Kind:
    """By the brands of an ISO media file, the major one first (ISO/IEC 14496-12)."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    return next((_BY_BRAND[brand] for brand in brands if brand in _BY_BRAND), _VIDEO)


def _text(head: bytes) -> Kind | None:
    text = _as_text(head)
    if text is None:
        return None
    text = text.lstrip("\ufeff \t\r\n")
    lowered = text.lower()
    if "<svg" in lowered:
        return _SVG
    if re.match(
        r"(<!--.*?-->\s*)?(<\?xml[^>]*>\s*)?<(!doctype\s+html|html|head|body|script|meta)\b", lowered, re.DOTALL
    ):
        return _HTML
    if re.match(r"(<\?xml[^>]*>\s*)?<error\b", lowered):
        return _ERROR
    if lowered.startswith("<?xml"):
        return Kind("XML")
    if "/annex/objects/" in text:
        return _ANNEX
    if re.match(r'[{\[]\s*["{\[\]}0-9]', text):
        return Kind("JSON")
    if lowered.startswith("data:image/"):
        return Kind("an image as text (a data: URL)", "decode it")
    if re.match(r"https?://\S+\s*$", text):
        return Kind("a link as text", _FETCH)
    return _TEXT


def _as_text(head: bytes) -> str | None:
    """The bytes as text, or None where they are none."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return head.decode("utf-16", "replace")
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if len(head) - error.start > 3:  # else a character that is cut at the end of the head
            return None
        text = head[: error.start].decode()
    control = sum(1 for character in text if character < " " and character not in "\t\n\r\f\x1b")
    return None if control else text
