"""A model hub's repository in the hub's own cache on this machine."""

import logging
import re
from collections.abc import Callable, Collection
from pathlib import Path

from ..failure import Fatal
from ..store import local_path

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
Read = Callable[[str], bytes]
"""The bytes of one of a repository's files, brought here for it."""


def is_of_hub(address: str) -> bool:
    """Whether an address is the name of a hub's repository, and of no folder on this machine."""
    return HUB_NAME.fullmatch(address) is not None and not local_path(address).exists()


def hub_snapshot(field: str, name: str, wanted: Callable[[Collection[str], Read], Collection[str]]) -> Path:
    """The folder of a repository in the hub's cache; HF_HUB_OFFLINE is respected.

    Args:
        field: that names it.
        wanted: which of the repository's files are brought here.

    Raises:
        Fatal: there is none of that name, it is not for everybody, or this machine is offline and has it not.
        OSError: the hub cannot be reached.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    where = f"{field}: '{name}'"
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of each try
    try:
        if constants.HF_HUB_OFFLINE:
            return Path(snapshot_download(name, local_files_only=True))
        names = HfApi().list_repo_files(name)
        files = wanted(names, lambda path: Path(hf_hub_download(name, path)).read_bytes())
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise Fatal(
            f"{where}: no such directory, and this machine is offline (HF_HUB_OFFLINE) and has no copy of the hub's "
            "repository of that name: give a directory or s3://bucket/prefix"
        ) from None
    except GatedRepoError:
        raise Fatal(f"{where}: the hub gives it to members who accepted its terms only: set HF_TOKEN") from None
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        if status in (401, 403, 404):
            raise Fatal(
                f"{where}: no such directory, and no such repository on the hub (or not for you, see HF_TOKEN)"
            ) from None
        raise OSError(f"{where}: the hub answers {status}") from None
    except (OSError, Fatal):
        raise
    except Exception as error:  # of the HTTP library that the hub's client uses
        raise OSError(f"{where}: no such directory, and the hub cannot be reached ({type(error).__name__})") from None
