"""Whose requests these are: credentials from the environment, by the names that S3 clients use."""

import json
import os
from collections.abc import Mapping
from configparser import Error
from pathlib import Path
from threading import Lock

from minio.credentials import (
    AWSConfigProvider,
    Credentials,
    Provider,
    StaticProvider,
    WebIdentityProvider,
)
from minio.time import from_iso8601utc

from ...failure import Fatal
from .connection import Connection
from .environment import first_of, for_header, for_signing, value_of
from .refusal import Refusal, is_transient

_PAIRS = [
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"),
    ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"),
    ("accesskey", "secretkey"),  # the keys of Kubeflow Pipelines' Secret mlpipeline-minio-artifact, by envFrom
]


class CheckedProvider(Provider):  # type: ignore[misc]  # minio.credentials is untyped
    """Credentials from one source; when that fails, one line that names the source and holds no secret.

    Attributes:
        source: the name of what gave them, for messages.
    """

    def __init__(self, source: str, inner: Provider) -> None:
        self.source, self._inner, self._lock = source, inner, Lock()

    def retrieve(self) -> Credentials:
        with self._lock:  # so that threads do not all ask for a fresh token at once
            try:
                found = self._inner.retrieve()
            except Refusal as refusal:
                if is_transient(refusal):
                    raise
                raise Fatal(f"credentials: {self.source}: refused with {refusal}") from None
            except (FileNotFoundError, PermissionError) as error:
                raise Fatal(f"credentials: {self.source}: {error.filename}: {error.strerror}") from None
            except (ValueError, KeyError, TypeError, AttributeError, Error):
                found = None
            # Outside of the clause: those texts may hold the token (minio puts it into the URL), and so would the
            # context of an error that is raised there.
            if found is None or not found.access_key or not found.secret_key:
                raise Fatal(f"credentials: {self.source}: it gave no usable access key and secret key")
            for_header(f"{self.source}: the access key", found.access_key)
            for_signing(f"{self.source}: the secret key", found.secret_key)
            for_header(f"{self.source}: the session token", found.session_token or "")
            return found


def from_environment(http: Connection, environment: Mapping[str, str] = os.environ) -> CheckedProvider:
    """
    The first of: a pair of keys (AWS_*, MINIO_*, MINIO_ROOT_*, accesskey and secretkey), the folder
    UNECHO_S3_SECRET_DIR where a Secret with such keys is mounted, a web identity
    (AWS_WEB_IDENTITY_TOKEN_FILE), the container's role (AWS_CONTAINER_CREDENTIALS_*_URI), a profile
    (AWS_PROFILE or AWS_SHARED_CREDENTIALS_FILE). Nothing else is asked, so nothing hangs where there
    is no metadata service. UNECHO_S3_SECRET is the name of the Secret that should have given them, for the message.

    Args:
        http: for the token service.

    Raises:
        Fatal: there are none, or half of a pair.
    """
    if found := _pair(environment):
        access, secret = found
        token = value_of(environment, "AWS_SESSION_TOKEN") if access == "AWS_ACCESS_KEY_ID" else ""
        return CheckedProvider(
            f"{access} and {secret}",
            StaticProvider(
                for_header(access, value_of(environment, access)),
                for_signing(secret, value_of(environment, secret)),
                for_header("AWS_SESSION_TOKEN", token) or None,
            ),
        )
    if folder := value_of(environment, "UNECHO_S3_SECRET_DIR"):
        return CheckedProvider(f"UNECHO_S3_SECRET_DIR ({folder})", _MountedSecret(Path(folder)))
    if token_file := value_of(environment, "AWS_WEB_IDENTITY_TOKEN_FILE"):
        source = f"AWS_WEB_IDENTITY_TOKEN_FILE ({token_file})"
        session = value_of(environment, "AWS_ROLE_SESSION_NAME") or "unecho"
        return CheckedProvider(
            source,
            WebIdentityProvider(
                jwt_provider_func=lambda: {
                    "access_token": for_header(source, _read(Path(token_file))),
                    "expires_in": "0",
                },
                sts_endpoint=_token_service(environment),
                role_arn=for_header("AWS_ROLE_ARN", value_of(environment, "AWS_ROLE_ARN")) or None,
                role_session_name=for_header("AWS_ROLE_SESSION_NAME", session),
                http_client=http,
            ),
        )
    for name in ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        if value_of(environment, name):
            return CheckedProvider(name, _ContainerRole(http, environment))
    for name in ("AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"):
        if value_of(environment, name):
            file, profile = (value_of(environment, n) or None for n in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE"))
            return CheckedProvider(f"{name} ({value_of(environment, name)})", AWSConfigProvider(file, profile))
    if secret := value_of(environment, "UNECHO_S3_SECRET"):
        raise Fatal(
            f"credentials: none found: the namespace of this pod has no Secret {secret}, or it lacks the keys: "
            f"kubectl get secret {secret}"
        )
    raise Fatal(
        "credentials: none found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "(or MINIO_ACCESS_KEY and MINIO_SECRET_KEY, AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_PROFILE)"
    )


class _MountedSecret(Provider):  # type: ignore[misc]
    """A Secret as a folder of files, read anew each time: the kubelet renews them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def retrieve(self) -> Credentials | None:
        for access, secret in _PAIRS:
            try:
                access_key, secret_key = (_read(self._folder / name) for name in (access, secret))
            except OSError:
                continue
            token = ""
            if access == "AWS_ACCESS_KEY_ID" and (self._folder / "AWS_SESSION_TOKEN").exists():
                token = _read(self._folder / "AWS_SESSION_TOKEN")
            place = f"UNECHO_S3_SECRET_DIR ({self._folder}): "
            return Credentials(
                for_header(place + access, access_key),
                for_signing(place + secret, secret_key),
                for_header(f"{place}AWS_SESSION_TOKEN", token) or None,
            )
        return None


class _ContainerRole(Provider):  # type: ignore[misc]
    """The role of a container, as its agent gives it: on this machine or on its link, so never by way of a proxy.

    Source: docs.aws.amazon.com, SDKs and Tools Reference Guide, container credential provider.
    """

    def __init__(self, http: Connection, environment: Mapping[str, str]) -> None:
        self._http, self._environment = http.direct(), environment
        self._found: Credentials | None = None

    def retrieve(self) -> Credentials:
        if self._found is None or self._found.is_expired():
            token = self._token()
            headers = {"Authorization": token} if token else {}
            found = json.loads(self._http.urlopen("GET", self._url(), headers=headers).data)
            keys = (found["AccessKeyId"], found["SecretAccessKey"], found.get("Token") or None)
            self._found = Credentials(*keys, from_iso8601utc(found["Expiration"]))
        return self._found

    def _url(self) -> str:
        if path := value_of(self._environment, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            return f"http://169.254.170.2/{path.removeprefix('/')}"
        return value_of(self._environment, "AWS_CONTAINER_CREDENTIALS_FULL_URI")

    def _token(self) -> str:
        """What authorizes us at the agent: of its file where there is one."""
        if file := value_of(self._environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            return for_header(f"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE ({file})", _read(Path(file)))
        name = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
        return for_header(name, value_of(self._environment, name))


def _read(file: Path) -> str:
    """A file's text without what surrounds it; bytes that are no text become characters that are refused."""
    return file.read_text(errors="surrogateescape").strip()


def _pair(environment: Mapping[str, str]) -> tuple[str, str] | None:
    for access, secret in _PAIRS:
        if value_of(environment, access) and value_of(environment, secret):
            return access, secret
    for access, secret in _PAIRS:
        for there, lacking in ((access, secret), (secret, access)):
            if value_of(environment, there):
                raise Fatal(f"credentials: {there} is set but {lacking} is not")
    return None


def _token_service(environment: Mapping[str, str]) -> str:
    """MinIO and Ceph answer for tokens at their own endpoint, AWS at a regional one."""
    for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        if url := value_of(environment, name):
            return url.rstrip("/")
    _, region = first_of(environment, "AWS_REGION", "AWS_DEFAULT_REGION")
    if not region:
        return "https://sts.amazonaws.com"
    return f"https://sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
