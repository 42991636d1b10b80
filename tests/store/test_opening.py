"""From an address to a store."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.s3 import bare
from unecho.components.failure import Fatal
from unecho.components.store import open_store


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    bare(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/some/prefix/", "s3://bucket/some/prefix"),
        ("s3://bucket/with%20percent", "s3://bucket/with%20percent"),
    ],
)
def test_an_s3_address_names_bucket_and_prefix(address: str, url: str) -> None:
    assert open_store(address).url == url


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("s3://", "s3://: no name of a bucket"),
        ("s3:///prefix", "s3://: no name of a bucket"),
        ("s3://a b/x", "s3://a b: no name of a bucket"),
        ("s3://bucket/x?region=eu", "s3://bucket/x?region=eu: an address has no options"),
        ("gs://bucket/x", "gs://bucket/x: a root is a directory"),
        ("file://host/x", "file://host/x: file:// takes an absolute path"),
    ],
)
def test_an_address_that_cannot_be_opened_is_told(address: str, line: str) -> None:
    with pytest.raises(Fatal) as caught:
        open_store(address)
    assert str(caught.value).startswith(line)


def test_a_run_on_a_directory_imports_no_s3_client(tmp_path: Path) -> None:
    code = (
        "import sys; from unecho.components.store import open_store; store = open_store(sys.argv[1]);"
        "store.put('a', b'x'); store.get('a');"
        "print([name for name in ('minio', 'urllib3', 'certifi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
