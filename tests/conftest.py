"""Fixtures that all rooms share."""

import signal
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.services import s3 as service
from tests.services.proxy import Proxy
from unecho.components.openmp import let_waiting_threads_sleep

let_waiting_threads_sleep()  # as the program does, before a test imports torch
# A runner may have started the tests with SIGINT ignored, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why tests were skipped, a line for each reason, where pytest's own -rs has one for each test."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[service.S3]:
    """A real S3 server, one for all tests."""
    with service.running(tmp_path_factory.mktemp("s3") / "server") as s3:
        yield s3


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[service.S3]:
    """A server that a test may kill and start again."""
    with service.own(tmp_path_factory.mktemp("mortal") / "server") as s3:
        yield s3


@pytest.fixture
def s3(s3_server: service.S3, monkeypatch: pytest.MonkeyPatch) -> service.S3:
    """The S3 server, with the environment pointing at it."""
    s3_server.point(monkeypatch)
    return s3_server


@pytest.fixture
def s3_root(s3: service.S3) -> str:
    """A root in the test bucket that no other test uses."""
    return f"s3://{service.BUCKET}/{uuid4().hex}"


@pytest.fixture
def proxy(s3: service.S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the S3 server that does harm when told to; the environment points at it."""
    with Proxy(s3.endpoint) as proxy:
        s3.point(monkeypatch, proxy.endpoint)
        yield proxy
