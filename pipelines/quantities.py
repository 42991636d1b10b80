"""Bytes and times in words, and from words."""

import re

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def size(count: int) -> str:
    """Bytes in words: "57.2 GB"."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def seconds(text: str) -> float:
    """Seconds of "30m", "24h" or "7d".

    Raises:
        ValueError: not of that form.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not found:
        raise ValueError(f"'{text}' is not of the form 30m, 24h or 7d")
    return float(found[1]) * _UNITS_S[found[2]]
