"""Whose requests: the sources of credentials and their order."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.services.loopback import Quiet, serving
from tests.services.s3 import S3, bare
from tests.store.test_secrets import everything_about
from unecho.components.failure import Fatal
from unecho.components.store import open_store
from unecho.components.store.s3 import credentials
from unecho.components.store.s3.connection import Connection
from unecho.components.store.s3.endpoint import Endpoint


def found(environment: dict[str, str]) -> tuple[str, str, str | None]:
    provider = credentials.from_environment(Connection(Endpoint.from_environment(environment)), environment)
    one = provider.retrieve()
    return one.access_key, one.secret_key, one.session_token


AWS = {"AWS_ACCESS_KEY_ID": "aws", "AWS_SECRET_ACCESS_KEY": "aws-secret"}
MINIO = {"MINIO_ACCESS_KEY": "minio", "MINIO_SECRET_KEY": "minio-secret"}
ROOT = {"MINIO_ROOT_USER": "root", "MINIO_ROOT_PASSWORD": "root-secret"}
KFP = {"accesskey": "kfp", "secretkey": "kfp-secret"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (AWS, ("aws", "aws-secret", None)),
        (AWS | {"AWS_SESSION_TOKEN": "token"}, ("aws", "aws-secret", "token")),
        (MINIO, ("minio", "minio-secret", None)),
        (ROOT, ("root", "root-secret", None)),
        (KFP, ("kfp", "kfp-secret", None)),
        (KFP | ROOT | MINIO | AWS, ("aws", "aws-secret", None)),
        (KFP | ROOT | MINIO, ("minio", "minio-secret", None)),
        (AWS | {"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/file"}, ("aws", "aws-secret", None)),
        (MINIO | {"AWS_SESSION_TOKEN": "of another key"}, ("minio", "minio-secret", None)),
        (MINIO | {"AWS_ACCESS_KEY_ID": "half a pair"}, ("minio", "minio-secret", None)),
        ({"AWS_ACCESS_KEY_ID": " key\n", "AWS_SECRET_ACCESS_KEY": "secret\n"}, ("key", "secret", None)),
        ({name: f"\t{value} \r\n" for name, value in MINIO.items()}, ("minio", "minio-secret", None)),
        ({name: f"{value}\n" for name, value in ROOT.items()}, ("root", "root-secret", None)),
        ({name: f"{value}\n" for name, value in KFP.items()}, ("kfp", "kfp-secret", None)),
        (AWS | {"AWS_SESSION_TOKEN": " token\r\n"}, ("aws", "aws-secret", "token")),
        (AWS | {"AWS_SESSION_TOKEN": " \n"}, ("aws", "aws-secret", None)),
        (MINIO | dict.fromkeys(AWS, "\n"), ("minio", "minio-secret", None)),
        (
            AWS | {"AWS_SECRET_ACCESS_KEY": "pass phrase of several wörds"},
            ("aws", "pass phrase of several wörds", None),
        ),
    ],
)
def test_keys_by_the_names_that_clients_use(environment: dict[str, str], expected: tuple[str, str, str | None]) -> None:
    assert found(environment) == expected


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"AWS_ACCESS_KEY_ID": "key"}, "credentials: AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not"),
        ({"secretkey": "secret"}, "credentials: secretkey is set but accesskey is not"),
    ],
)
def test_half_a_pair_is_told_by_what_is_lacking(environment: dict[str, str], line: str) -> None:
    with pytest.raises(Fatal, match=f"^{line}$"):
        found(environment)


CANARY = "canary-7f3a"


@pytest.mark.parametrize("value", [f"{CANARY}\n{CANARY}", f"{CANARY}\r{CANARY}", f"{CANARY}\u201d", f"{CANARY}\x7f"])
@pytest.mark.parametrize(
    ("environment", "name"),
    [
        (AWS, "AWS_ACCESS_KEY_ID"),
        (AWS, "AWS_SESSION_TOKEN"),
        (MINIO, "MINIO_ACCESS_KEY"),
        (ROOT, "MINIO_ROOT_USER"),
        (KFP, "accesskey"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/file"}, "AWS_ROLE_ARN"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/"}, "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    ],
)
def test_what_no_header_can_carry_is_refused_by_the_variables_name_and_never_repeated(
    environment: dict[str, str], name: str, value: str
) -> None:
    with pytest.raises(Fatal) as caught:
        found(environment | {name: value})
    assert str(caught.value).startswith(f"credentials: {name}: it has a ")
    assert CANARY not in everything_about(caught.value)


@pytest.mark.parametrize(
    ("environment", "name"), [(AWS, "AWS_SECRET_ACCESS_KEY"), (MINIO, "MINIO_SECRET_KEY"), (KFP, "secretkey")]
)
@pytest.mark.parametrize("value", [f"{CANARY}\n{CANARY}", f"{CANARY}\u200b", f"{CANARY}\udcff"])
def test_a_secret_key_in_two_lines_is_refused_by_the_variables_name(
    environment: dict[str, str], name: str, value: str
) -> None:
    with pytest.raises(Fatal) as caught:
        found(environment | {name: value})
    assert str(caught.value).startswith(f"credentials: {name}: it has a line end or another invisible character")
    assert CANARY not in everything_about(caught.value)


@pytest.mark.parametrize("name", ["accesskey", "secretkey"])
@pytest.mark.parametrize("value", [b"canary-7f3a\ncanary-7f3a", b"canary-7f3a\xff"])
def test_a_mounted_secret_with_odd_characters_is_refused_by_its_file(tmp_path: Path, name: str, value: bytes) -> None:
    for file in ("accesskey", "secretkey"):
        (tmp_path / file).write_bytes(value if file == name else b"fine\n")
    with pytest.raises(Fatal) as caught:
        found({"UNECHO_S3_SECRET_DIR": f"{tmp_path}\n"})
    assert str(caught.value).startswith(f"credentials: UNECHO_S3_SECRET_DIR ({tmp_path}): {name}: it has a ")
    assert CANARY not in everything_about(caught.value)


def test_a_mounted_secret_may_have_a_session_token(tmp_path: Path) -> None:
    for file, value in (AWS | {"AWS_SESSION_TOKEN": "token"}).items():
        (tmp_path / file).write_text(f"{value}\n")
    assert found({"UNECHO_S3_SECRET_DIR": str(tmp_path)}) == ("aws", "aws-secret", "token")


def test_a_web_identity_with_odd_characters_is_refused_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{CANARY}\n{CANARY}")
    with pytest.raises(Fatal) as caught:
        found({"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"})
    assert str(caught.value).startswith(
        f"credentials: AWS_WEB_IDENTITY_TOKEN_FILE ({tmp_path}/token): it has a line end"
    )
    assert CANARY not in everything_about(caught.value)


def test_a_profile_with_odd_characters_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = k\u201d{CANARY}\naws_secret_access_key = s\n"
    )
    with pytest.raises(Fatal) as caught:
        found({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")})
    assert str(caught.value).startswith(
        f"credentials: AWS_SHARED_CREDENTIALS_FILE ({tmp_path}/credentials): the access key"
    )
    assert CANARY not in everything_about(caught.value)


def test_a_profile_that_is_no_configuration_is_refused_without_its_lines(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(f"{CANARY}\n")
    with pytest.raises(Fatal, match=r"it gave no usable access key and secret key$") as caught:
        found({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")})
    assert CANARY not in everything_about(caught.value)


@pytest.mark.parametrize("names", [("accesskey", "secretkey"), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")])
def test_a_mounted_secret_is_read_and_its_renewal_noticed(tmp_path: Path, names: tuple[str, str]) -> None:
    environment = {"UNECHO_S3_SECRET_DIR": str(tmp_path)}
    provider = credentials.from_environment(Connection(Endpoint.from_environment({})), environment)
    for access, secret in (("one", "first"), ("two", "second")):
        (tmp_path / names[0]).write_text(f"{access}\n")
        (tmp_path / names[1]).write_text(secret)
        assert (provider.retrieve().access_key, provider.retrieve().secret_key) == (access, secret)
    (tmp_path / names[0]).unlink()
    with pytest.raises(Fatal, match=r"^credentials: UNECHO_S3_SECRET_DIR .* gave no usable access key"):
        provider.retrieve()


def test_a_profile_is_read_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare(monkeypatch)
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id = key\naws_secret_access_key = secret\n")
    for name, value in {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_PROFILE": "team"}.items():
        monkeypatch.setenv(name, value)
    provider = credentials.from_environment(Connection(Endpoint.from_environment()))
    assert provider.retrieve().secret_key == "secret"
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(Fatal, match=r"^credentials: AWS_PROFILE \(nobody\): it gave no usable"):
        credentials.from_environment(Connection(Endpoint.from_environment())).retrieve()


class TokenService(Quiet, BaseHTTPRequestHandler):
    """Gives each web identity, and each container, the keys of the test server."""

    asked: list[str]
    keys: tuple[str, str]

    def do_POST(self) -> None:
        self.asked.append(self.path)
        expiry = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._answer(
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>{self.keys[0]}</AccessKeyId><SecretAccessKey>{self.keys[1]}</SecretAccessKey>"
            f"<SessionToken>token</SessionToken><Expiration>{expiry}</Expiration>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )

    def do_GET(self) -> None:
        self.asked.append(f"{self.path} {self.headers['Authorization']}")
        expiry = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {"AccessKeyId": self.keys[0], "SecretAccessKey": self.keys[1], "Token": "", "Expiration": expiry}
        self._answer(json.dumps(keys))

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def token_service() -> Iterator[tuple[str, type[TokenService]]]:
    handler = type("Handler", (TokenService,), {"asked": [], "keys": ("key", "secret")})
    with serving(handler) as address:
        yield f"http://{address}", handler


def test_a_web_identity_is_exchanged_once_for_keys(
    tmp_path: Path, token_service: tuple[str, type[TokenService]]
) -> None:
    url, service = token_service
    (tmp_path / "token").write_text("jwt\n")
    environment = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/unecho",
        "AWS_ENDPOINT_URL_STS": url,
    }
    provider = credentials.from_environment(Connection(Endpoint.from_environment({})), environment)
    for _ in range(3):
        one = provider.retrieve()
    assert (one.access_key, one.secret_key, one.session_token) == ("key", "secret", "token")
    (asked,) = service.asked
    query = parse_qs(urlsplit(asked).query)
    assert query["WebIdentityToken"] == ["jwt"]
    assert query["RoleArn"] == ["arn:aws:iam::1:role/unecho"]


def test_a_web_identity_without_its_token_is_told_by_the_file(tmp_path: Path) -> None:
    environment = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}
    provider = credentials.from_environment(Connection(Endpoint.from_environment({})), environment)
    with pytest.raises(Fatal, match=rf"{tmp_path}/token: No such file or directory$"):
        provider.retrieve()


def test_a_role_of_the_container_opens_the_store(
    s3: S3, s3_root: str, token_service: tuple[str, type[TokenService]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, service = token_service
    bare(monkeypatch)
    service.keys = (s3.access_key, s3.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/role")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "for the agent")
    store = open_store(s3_root)
    store.put("object", b"bytes")
    assert store.get("object") == b"bytes"
    assert service.asked == ["/role for the agent"]
