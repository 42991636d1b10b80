"""Secrets stay where they are: not in the log at any level, not in an error, not in a description or a pickle."""

import gc
import logging
import pickle
import re
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.proxy import Fault, Proxy
from tests.services.s3 import BUCKET, S3, bare
from unecho.components.failure import Fatal
from unecho.components.store import Store, open_store
from unecho.components.store.s3.connection import Connection, Retry
from unecho.components.store.s3.endpoint import Endpoint

CANARY = "canary-7f3a"
WHAT_SIGNS = re.compile(r"(?i)X-Amz-Signature=[0-9a-f]{8}|Signature=[0-9a-f]{8}|AWS4-HMAC-SHA256 Credential")
OPERATIONS: list[Callable[[Store], object]] = [
    lambda store: store.get("object"),
    lambda store: store.read_into("object", 0, memoryview(bytearray(5))),
    lambda store: store.put("object", b"bytes"),
    lambda store: store.put("object", bytes(17 << 20)),
    lambda store: store.create("record.json", b"bytes"),
    lambda store: store.stat("object"),
    lambda store: list(store.list("")),
    lambda store: store.delete(["object"]),
]


def everything_about(error: BaseException | None) -> str:
    """All texts of an error and of what led to it, also what Python hides."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), *map(repr, error.args), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def descriptions(thing: object) -> str:
    """What our own objects that can be reached from one say of themselves."""
    texts, seen, left = [], set(), [thing]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type) or callable(one):
            continue
        seen.add(id(one))
        module = type(one).__module__
        if module.startswith(("unecho.components.", "minio.api", "urllib3")):
            texts += [str(one), repr(one)]
        if module.startswith(("unecho.components.", "minio", "builtins", "urllib3")):
            left += gc.get_referents(one)
    return "\n".join(texts)


@pytest.fixture
def told(s3: S3, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Everything that was said; credentials are canaries."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("UNECHO_S3_PATIENCE_S", "0.2")
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    return []


def check(told: list[str], caplog: pytest.LogCaptureFixture, secrets: list[str]) -> None:
    text = "\n".join([*told, caplog.text, *(str(record.__dict__) for record in caplog.records)])
    assert "urllib3" in text  # it did listen
    for secret in secrets:
        assert secret not in text
    assert not WHAT_SIGNS.search(text)


FAULTS = {
    "wrong secret": None,
    "denied": Fault(answer=(403, "AccessDenied")),
    "busy": Fault(answer=(503, "SlowDown")),
    "cut": Fault(cut_at=-1),
    "silent": Fault(delay_s=3600),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_secret_key_and_a_session_token_appear_nowhere(
    told: list[str],
    proxy: Proxy,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault | None,
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"{CANARY}-token")
    store = open_store(f"s3://{BUCKET}/secrets")
    if fault:
        proxy.inject(fault)
    for operation in OPERATIONS if fault is not FAULTS["silent"] else OPERATIONS[:1]:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it is
            operation(store)
        told.append(everything_about(caught.value))
    told += [descriptions(store), repr(store), str(store), store.url, repr(pickle.dumps(store))]
    check(told, caplog, [CANARY])


def test_what_signs_a_request_that_works_appears_nowhere(
    s3: S3, proxy: Proxy, caplog: pytest.LogCaptureFixture, s3_root: str
) -> None:
    caplog.set_level(logging.DEBUG)
    store = open_store(s3_root)
    store.put("object", bytes(17 << 20))
    assert store.create("record.json", b"x")
    store.get("object")
    check([descriptions(store)], caplog, [s3.secret_key])
    assert proxy.count(lambda request: "X-Amz-Signature=" in request.path) > 3  # they were there to be seen


@pytest.mark.parametrize(
    "fault", [Fault(answer=(400, "InvalidIdentityToken")), Fault(answer=(503, "")), Fault(cut_at=-1)]
)
def test_a_web_identity_token_appears_nowhere(
    told: list[str],
    proxy: Proxy,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fault: Fault,
) -> None:
    bare(monkeypatch)
    (tmp_path / "token").write_text(f"{CANARY}-jwt")
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    monkeypatch.setenv("UNECHO_S3_PATIENCE_S", "0.2")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/unecho")
    proxy.inject(fault)
    store = open_store(f"s3://{BUCKET}/secrets")
    for operation in OPERATIONS:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            operation(store)
        told.append(everything_about(caught.value))
    if fault.answer and fault.answer[0] == 400:
        line = f"credentials: AWS_WEB_IDENTITY_TOKEN_FILE ({tmp_path}/token): refused with 400 InvalidIdentityToken"
        assert all(text.startswith(line) for text in told)
    told.append(descriptions(store))
    check(told, caplog, [CANARY])
    assert proxy.count(lambda request: CANARY in request.path) > 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_ENDPOINT_URL_S3", f"http://key:{CANARY}@127.0.0.1:9"),
        ("MINIO_ENDPOINT", f"key:{CANARY}@127.0.0.1:9"),
        ("MINIO_ENDPOINT", f"http://key:{CANARY}@127.0.0.1:notaport"),
    ],
)
def test_credentials_written_into_an_endpoint_are_refused_unread(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    bare(monkeypatch)
    monkeypatch.setenv(variable, value)
    with pytest.raises(Exception, match=variable) as caught:
        open_store("s3://bucket/x")
    assert CANARY not in everything_about(caught.value)


def test_credentials_written_into_an_address_are_refused_unread() -> None:
    with pytest.raises(Exception, match="credentials are taken from the environment") as caught:
        open_store(f"s3://key:{CANARY}@bucket/prefix")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("header", [f"{CANARY}\n", f"{CANARY}\u201d", f"{CANARY}\r\nHost: other"])
def test_a_header_that_cannot_be_sent_is_no_text_of_an_error(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever gets as far as http.client, which repeats it."""
    bare(monkeypatch)
    connection = Connection(Endpoint.from_environment({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}))
    retry = Retry(Endpoint.from_environment({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}), "s3://b", "AWS_ACCESS_KEY_ID")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(Fatal, match=r"^s3://b/k: s3:GetObject: a header or the address has a character") as caught:
            retry(lambda: connection.urlopen("GET", url, headers={"Authorization": header}), "GetObject", "s3://b/k")
    assert CANARY not in everything_about(caught.value)
