"""A cluster, a store that its pods reach, and runs to compare with."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.runs import fingerprint, finish, tiny
from tests.services import s3 as service
from tests.services.kubernetes import Namespace, image
from tests.services.required import demand
from unecho.components.config import RunConfig
from unecho.components.run import Run

LONG = ("iet.rounds=2", "iet.local_steps=600", "execution.checkpoint_every_s=1")
"""The tiny preset, each proxy trained for several seconds, so that a pod can be hit while it trains."""


@pytest.fixture(scope="session")
def pods_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[service.S3]:
    """An S3 server that pods reach: the one that is named, else one on this machine's address as pods see it."""
    image()
    if os.environ.get("UNECHO_TEST_S3_ENDPOINT"):
        with service.running(Path()) as s3:
            yield s3
        return
    host = os.environ.get("UNECHO_TEST_HOST") or demand(
        "kubernetes", "set UNECHO_TEST_HOST to this machine's address as pods see it, or UNECHO_TEST_S3_ENDPOINT"
    )
    with service.own(tmp_path_factory.mktemp("pods-s3") / "server", host) as s3:
        yield s3


@pytest.fixture
def namespace(pods_s3: service.S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    """A namespace with a store's Secret; this process reaches the store too."""
    pods_s3.point(monkeypatch)
    made = Namespace(tmp_path, pods_s3, image()).make()
    try:
        yield made
    finally:
        print(made.kubectl("get", "jobs,pods", check=False))  # shown where the test fails
        print(made.kubectl("logs", "job/unecho", "--tail=20", check=False))
        made.remove()


@pytest.fixture
def root(namespace: Namespace) -> str:
    """A root in the store that no other test uses."""
    return f"s3://{service.BUCKET}/{uuid4().hex}"


@pytest.fixture(scope="session")
def long() -> RunConfig:
    return tiny(*LONG)


@pytest.fixture(scope="session")
def expected(long: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the local engine computes for the run `a` of the long configuration."""
    folder = tmp_path_factory.mktemp("local")
    run = Run.at(str(folder), "a")
    finish(run, long)
    found = fingerprint(run)
    shutil.rmtree(folder)
    return found
