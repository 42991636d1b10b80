"""What the user reads when S3 says no: one line that names the bucket or key, the action and what to do."""

import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import minio.time
import pytest

from tests.services.proxy import Fault, Proxy
from tests.services.s3 import BUCKET, IDENTITIES, S3, bare
from unecho.components.failure import Fatal
from unecho.components.store import Missing, Store, open_store
from unecho.components.store.s3.connection import Unreachable

KEY = "some/object"
OPERATIONS: dict[str, tuple[str, Callable[[Store], object]]] = {
    "get": ("GetObject", lambda store: store.get(KEY)),
    "find": ("GetObject", lambda store: store.find("record.json")),
    "read_into": ("GetObject", lambda store: store.read_into(KEY, 0, memoryview(bytearray(1)))),
    "stat": ("GetObject", lambda store: store.stat(KEY)),
    "put": ("PutObject", lambda store: store.put(KEY, b"x")),
    "put large": ("PutObject", lambda store: store.put(KEY, bytes(17 << 20))),
    "create": ("PutObject", lambda store: store.create(KEY, b"x")),
    "list": ("ListBucket", lambda store: list(store.list(""))),
    "delete": ("DeleteObject", lambda store: store.delete([KEY])),
}
every_operation = pytest.mark.parametrize(("action", "operation"), OPERATIONS.values(), ids=OPERATIONS.keys())
Operation = Callable[[Store], object]


def line(call: Callable[[], object], kind: type[Exception] = Fatal) -> str:
    """The line of the error that a call ends with."""
    with pytest.raises(kind) as caught:
        call()
    assert not isinstance(caught.value, Missing)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_no_credentials_is_told_before_any_request(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    bare(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    assert line(lambda: open_store(f"s3://{BUCKET}")) == (
        "credentials: none found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "(or MINIO_ACCESS_KEY and MINIO_SECRET_KEY, AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_PROFILE)"
    )
    monkeypatch.setenv("UNECHO_S3_SECRET", "unecho-s3")  # on Kubeflow, where the Secret's keys are optional
    assert line(lambda: open_store(f"s3://{BUCKET}")) == (
        "credentials: none found: the namespace of this pod has no Secret unecho-s3, or it lacks the keys: "
        "kubectl get secret unecho-s3"
    )


@every_operation
def test_an_unknown_access_key(s3: S3, monkeypatch: pytest.MonkeyPatch, action: str, operation: Operation) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert line(lambda: operation(open_store(f"s3://{BUCKET}/x"))) == (
        f"s3://{BUCKET}: {s3.endpoint} does not know this access key: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


@every_operation
def test_a_wrong_secret_key(s3: S3, monkeypatch: pytest.MonkeyPatch, action: str, operation: Operation) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the secret")
    assert line(lambda: operation(open_store(f"s3://{BUCKET}/x"))) == (
        f"s3://{BUCKET}: the secret key does not belong to the access key: "
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


@every_operation
def test_no_such_bucket(s3: S3, action: str, operation: Operation) -> None:
    assert line(lambda: operation(open_store("s3://no-such-bucket/x"))) == (
        f"s3://no-such-bucket: no such bucket at {s3.endpoint}: make it, or check the name and AWS_ENDPOINT_URL_S3"
    )


@pytest.mark.parametrize("name", ["put", "put large", "create", "delete"])
def test_a_bucket_that_this_key_may_only_read(s3: S3, s3_root: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if s3.server is None:
        pytest.skip("the server in the environment has no key that may only read")
    open_store(s3_root).put(KEY, b"kept")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unecho-reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", IDENTITIES["unecho-reader"][0])
    action, operation = OPERATIONS[name]
    store = open_store(s3_root)
    assert line(lambda: operation(store)) == (
        f"{s3_root}/{KEY}: forbidden: s3:{action}: "
        "allow it to the access key of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )
    assert store.get(KEY) == b"kept"


@pytest.mark.parametrize(
    ("ahead_s", "name"),
    # Not ahead with a write: SeaweedFS takes a presigned request that comes from the future.
    [(-4000, name) for name in OPERATIONS] + [(4000, name) for name in ("get", "read_into", "stat", "list", "delete")],
)
def test_a_wrong_clock(s3: S3, monkeypatch: pytest.MonkeyPatch, ahead_s: int, name: str) -> None:
    right, right_time = minio.time.utcnow, time.time
    monkeypatch.setattr(minio.time, "utcnow", lambda: right() + timedelta(seconds=ahead_s))
    monkeypatch.setattr(time, "time", lambda: right_time() + ahead_s)
    text = line(lambda: OPERATIONS[name][1](open_store(f"s3://{BUCKET}/x")))
    way = "ahead of" if ahead_s > 0 else "behind"
    assert text.startswith(f"s3://{BUCKET}: this machine's clock is ")
    assert text.endswith(f" s {way} the clock of {s3.endpoint}: set it right")
    assert abs(int(text.split()[5]) - 4000) <= 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (507, "InsufficientStorage"),
        (507, "XMinioStorageFull"),
        (400, "XMinioAdminBucketQuotaExceeded"),
        (403, "QuotaExceeded"),
    ],
)
@pytest.mark.parametrize("name", ["put", "put large", "create"])
def test_a_full_bucket_is_told_at_once(proxy: Proxy, s3_root: str, name: str, status: int, code: str) -> None:
    proxy.inject(Fault(answer=(status, code), reaches=False), "PUT")
    assert line(lambda: OPERATIONS[name][1](open_store(s3_root))) == (
        f"{s3_root}/{KEY}: the store is full ({code}): free space or raise the quota of s3://{BUCKET}"
    )
    assert proxy.count("PUT") <= 4  # parts that were under way; none is tried again


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (405, "MethodNotAllowed", "s3:PutObject is not allowed on this bucket (MethodNotAllowed): is it read-only?"),
        (501, "NotImplemented", "does not offer s3:PutObject as it is used here: use a newer S3 server"),
        (301, "PermanentRedirect", "the bucket is in another region or at another endpoint: check AWS_REGION"),
        (403, "ExpiredToken", "the session token is not valid any more (ExpiredToken): renew AWS_ACCESS_KEY_ID"),
        (418, "Teapot", "s3:PutObject failed: {endpoint} answered 418 Teapot (made up)"),
    ],
)
def test_other_refusals_say_what_they_mean(proxy: Proxy, s3_root: str, status: int, code: str, expected: str) -> None:
    proxy.inject(Fault(answer=(status, code)), "PUT")
    text = line(lambda: open_store(s3_root).put(KEY, b"x"))
    assert expected.format(endpoint=proxy.endpoint) in text
    assert proxy.count("PUT") == 1


def test_a_server_without_conditional_writes_is_refused_instead_of_trusted(proxy: Proxy, s3_root: str) -> None:
    proxy.inject(Fault(without="If-None-Match"), "PUT")
    assert line(lambda: open_store(s3_root).create("record.json", b"x")) == (
        f"{proxy.endpoint}: the server ignores If-None-Match, so that two pods could overwrite each other's results: "
        "use a newer S3 server"
    )


def test_a_server_that_is_not_there_is_no_fatal_error_and_tells_how_long_it_was_tried(
    proxy: Proxy, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("UNECHO_S3_PATIENCE_S", "0.6")
    begun = time.monotonic()
    text = line(lambda: open_store(s3_root).get(KEY), Unreachable)
    assert text == (
        f"http://127.0.0.1:9: out of reach, tried for 1 s (s3:GetObject {s3_root}/{KEY}: no connection): "
        "check the server, the network and AWS_ENDPOINT_URL_S3, then start again"
    )
    assert 0.5 < time.monotonic() - begun < 5
    assert issubclass(Unreachable, OSError)
    assert not issubclass(Unreachable, Fatal)


def test_writes_that_fail_without_a_reason_make_one_think_of_a_full_bucket(
    proxy: Proxy, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNECHO_S3_PATIENCE_S", "0.2")
    proxy.inject(Fault(answer=(500, "InternalError"), reaches=False), "PUT")  # SeaweedFS's answer over its quota
    text = line(lambda: open_store(s3_root).put(KEY, b"x"), Unreachable)
    assert text.startswith(f"{proxy.endpoint}: fails, tried for 0 s (s3:PutObject {s3_root}/{KEY}: 500 InternalError")
    assert "(is the bucket full or read-only?)" in text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program to make a certificate")
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=unecho-test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", f"{file}.crt"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    file.write_bytes(file.read_bytes() + Path(f"{file}.crt").read_bytes())
    return file


@pytest.fixture
def tls_proxy(s3: S3, monkeypatch: pytest.MonkeyPatch, certificate: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Proxy(s3.endpoint, context) as proxy:
        s3.point(monkeypatch, proxy.endpoint)
        yield proxy


def test_a_certificate_of_an_unknown_authority(tls_proxy: Proxy, s3_root: str) -> None:
    assert line(lambda: open_store(s3_root).get(KEY)) == (
        f"{tls_proxy.endpoint}: TLS: the server's certificate is not trusted (self-signed certificate): "
        "name the file of its authority in AWS_CA_BUNDLE"
    )


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_private_authority_is_trusted_when_it_is_named(
    tls_proxy: Proxy, s3_root: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, f"{certificate}.crt")
    store = open_store(s3_root)
    assert store.create("record.json", b"over TLS")
    assert store.get("record.json") == b"over TLS"


def test_the_wrong_scheme_is_told_both_ways(
    s3: S3, tls_proxy: Proxy, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    https = s3.endpoint.replace("http://", "https://")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", https)
    assert line(lambda: open_store(s3_root).get(KEY)) == (
        f"{https}: TLS: the server does not speak it: write http:// in the endpoint"
    )
