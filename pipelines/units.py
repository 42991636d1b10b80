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


def duration(count: float) -> str:
    """Seconds in words, two units at most: "48 s", "3 min 5 s", "2 h 10 min"."""
    whole = round(count)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
