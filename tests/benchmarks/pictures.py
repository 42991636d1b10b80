"""Folders of image files that nobody has to download."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


def write_pictures(folder: Path, count: int, side: int, kind: str) -> None:
    """Write `count` different images, smooth as photographs are: PNG or JPEG of `side` pixels square."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (50, 8, 8, 3), np.uint8)
    base = [np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC)) for one in coarse]
    for number in range(count):
        pixels = np.roll(base[number % 50], number, axis=0).copy()
        pixels[0, :3, :] = np.frombuffer(number.to_bytes(9, "little"), np.uint8).reshape(3, 3)  # no two are equal
        file = BytesIO()
        Image.fromarray(pixels).save(file, kind, **({"compress_level": 1} if kind == "PNG" else {"quality": 90}))
        (folder / f"{number:06}.{kind.lower()}").write_bytes(file.getvalue())
