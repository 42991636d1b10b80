"""Whose requests these are: credentials from the environment, by the names that S3 clients use."""

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from minio.credentials import (
    AWSConfigProvider,
    Credentials,
    IamAwsProvider,
    Provider,
    StaticProvider,
    WebIdentityProvider,
)
from urllib3 import PoolManager

from ...failure import Fatal
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
                return self._inner.retrieve()
            except Refusal as refusal:
                if is_transient(refusal):
                    raise
                raise Fatal(f"credentials: {self.source}: refused with {refusal}") from None
            except (FileNotFoundError, PermissionError) as error:
                raise Fatal(f"credentials: {self.source}: {error.filename}: {error.strerror}") from None
            except (ValueError, KeyError, TypeError, AttributeError):
                # Their texts may hold the token (minio puts it into the URL).
                raise Fatal(f"credentials: {self.source}: it gave no usable access key and secret key") from None


def from_environment(http: PoolManager, environment: Mapping[str, str] = os.environ) -> CheckedProvider:
    """
    The first of: a pair of keys (AWS_*, MINIO_*, MINIO_ROOT_*, accesskey and secretkey), the folder
    UNECHO_S3_SECRET_DIR where a Secret with such keys is mounted, a web identity
    (AWS_WEB_IDENTITY_TOKEN_FILE), the container's role (AWS_CONTAINER_CREDENTIALS_*_URI), a profile
    (AWS_PROFILE or AWS_SHARED_CREDENTIALS_FILE). Nothing else is asked, so nothing hangs where there
    is no metadata service.

    Args:
        http: for the token service.

    Raises:
        Fatal: there are none, or half of a pair.
    """
    if found := _pair(environment):
        access, secret = found
        token = environment.get("AWS_SESSION_TOKEN") if access == "AWS_ACCESS_KEY_ID" else None
        return CheckedProvider(
            f"{access} and {secret}",
            StaticProvider(environment[access].strip(), environment[secret].strip(), token or None),
        )
    if folder := environment.get("UNECHO_S3_SECRET_DIR"):
        return CheckedProvider(f"UNECHO_S3_SECRET_DIR ({folder})", _MountedSecret(Path(folder)))
    if token_file := environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return CheckedProvider(
            f"AWS_WEB_IDENTITY_TOKEN_FILE ({token_file})",
            WebIdentityProvider(
                jwt_provider_func=lambda: {"access_token": Path(token_file).read_text().strip(), "expires_in": "0"},
                sts_endpoint=_token_service(environment),
                role_arn=environment.get("AWS_ROLE_ARN"),
                role_session_name=environment.get("AWS_ROLE_SESSION_NAME") or "unecho",
                http_client=http,
            ),
        )
    for name in ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        if environment.get(name):
            return CheckedProvider(name, IamAwsProvider(http_client=http))
    for name in ("AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"):
        if environment.get(name):
            return CheckedProvider(f"{name} ({environment[name]})", AWSConfigProvider())
    raise Fatal(
        "credentials: none found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "(or MINIO_ACCESS_KEY and MINIO_SECRET_KEY, AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_PROFILE)"
    )


class _MountedSecret(Provider):  # type: ignore[misc]
    """A Secret as a folder of files, read anew each time: the kubelet renews them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def retrieve(self) -> Credentials:
        for access, secret in _PAIRS:
            try:
                access_key, secret_key = ((self._folder / name).read_text().strip() for name in (access, secret))
            except OSError:
                continue
            return Credentials(access_key, secret_key)
        raise ValueError


def _pair(environment: Mapping[str, str]) -> tuple[str, str] | None:
    for access, secret in _PAIRS:
        if environment.get(access) and environment.get(secret):
            return access, secret
    for access, secret in _PAIRS:
        for there, lacking in ((access, secret), (secret, access)):
            if environment.get(there):
                raise Fatal(f"credentials: {there} is set but {lacking} is not")
    return None


def _token_service(environment: Mapping[str, str]) -> str:
    """MinIO and Ceph answer for tokens at their own endpoint, AWS at a regional one."""
    for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        if url := environment.get(name):
            return url.rstrip("/")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if not region:
        return "https://sts.amazonaws.com"
    return f"https://sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
