"""Files and folders that nobody means when they point at a folder of images: one rule for all layouts and stores."""

import re

_NAMES = re.compile(
    r"""
    \..*                                             # .DS_Store, ._x.png, .git, .thumbnails, .ipynb_checkpoints
    | __macosx | icon\r | network\ trash\ folder | temporary\ items          # macOS
    | thumbs(_\w+)?\.db | ehthumbs(_vista)?\.db | desktop\.ini               # Windows
    | \$recycle\.bin | recycler | recycled | system\ volume\ information | found\.\d{3}
    | lost\+found                                                            # Linux
    | @eadir | @tmp | @sharebin | @recycle | @recently-snapshot | @__thumb | @__.* | @syno.*          # Synology, QNAP
    | \#recycle | \#snapshot | \~snapshot | synofile_thumb.* | synophoto_.*
    | __pycache__ | picasa\.ini | zbthumbnail\.info
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or kept by an operating system, a file server or a tool."""
    return _NAMES.fullmatch(name) is not None


def hidden_part(key: str) -> str | None:
    """The key up to its first hidden part, or None where it has none."""
    place = 0
    for part in key.split("/"):
        place += len(part)
        if part and is_hidden(part):
            return key[:place]
        place += 1
    return None
