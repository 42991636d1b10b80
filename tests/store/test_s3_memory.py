"""Memory of transfers: an object once where it is wanted in memory, a few parts where it is not."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

SIZE = 200 << 20
CODE = """
import hashlib, sys
from pathlib import Path
from unecho.components.store import open_store

def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))

def digest(data):
    return hashlib.sha256(data).hexdigest()

root, file, what = sys.argv[1:]
store = open_store(root)
store.put("warm", b"x"); store.get("warm")
base = peak()
if what == "put":
    store.put("large", Path(file))
    result = ""
else:
    result = store.get("large")
print(peak() - base, digest(result) if result else "")
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("large") / "file"
    with file.open("wb") as out:
        for number in range(SIZE >> 20):
            out.write(number.to_bytes(4, "big") * (1 << 18))
    return file


def test_memory_is_bounded_for_an_object_of_200_mb(s3_root: str, large: Path) -> None:
    def transfer(what: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", CODE, s3_root, large, what], capture_output=True, text=True, check=True
        )
        more, _, digest = done.stdout.strip().partition(" ")
        return int(more) >> 20, digest

    with large.open("rb") as file:
        expected = hashlib.file_digest(file, "sha256").hexdigest()
    assert transfer("put")[0] < 110  # four parts of 16 MiB, and what lies between
    more, digest = transfer("get")
    assert digest == expected
    assert more < (SIZE >> 20) + 40
