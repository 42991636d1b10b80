"""What an S3 server's refusal means: worth another try, or one line for the user."""

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Self

from urllib3.response import BaseHTTPResponse

from ...failure import Fatal
from ...log import redacted
from ..base import Missing

_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_TRANSIENT_CODES = {
    "BadDigest",  # bytes that changed on their way
    "ClientDisconnected",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "XAmzContentSHA256Mismatch",
}
_FULL = re.compile(r"Quota|StorageFull|InsufficientStorage|NoSpace|DiskFull", re.IGNORECASE)
_SKEW_S = 300
"""AWS accepts 900 s; a presigned request that is refused for its time is told as AccessDenied."""
_BODY_LIMIT = 64 << 10


@dataclass
class Refusal(Exception):
    """An answer that is not the one asked for.

    Attributes:
        status: of HTTP.
        code: S3's, such as NoSuchKey; empty where the answer has none (every HEAD).
        message: the server's, one line.
        region: of the bucket, where the server says it.
        ahead_s: how far this machine's clock is ahead of the server's.
    """

    status: int
    code: str
    message: str
    region: str
    ahead_s: float

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.status), self.code, self.message and f"({self.message})") if part)

    @classmethod
    def parse(cls, response: BaseHTTPResponse) -> Self:
        """Read the rest of an answer and what it says."""
        # Only what is named is taken from the body: AWS echoes the signature in other elements.
        body = response.read(_BODY_LIMIT) or b"" if not response.closed else b""
        return cls.of(response.status, body or response.data, response)

    @classmethod
    def of(cls, status: int, body: bytes, response: BaseHTTPResponse) -> Self:
        """What an answer says whose body is already read."""
        text = body[:_BODY_LIMIT].decode(errors="replace")
        try:
            ahead_s = time.time() - parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError):
            ahead_s = 0.0
        return cls(
            status=status,
            code=_element(text, "Code"),
            message=redacted(" ".join(_element(text, "Message").split())[:200]),
            region=_element(text, "Region") or response.headers.get("x-amz-bucket-region", ""),
            ahead_s=ahead_s,
        )


def _element(text: str, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return unescape(found[1]) if found else ""


def is_transient(refusal: Refusal) -> bool:
    """Whether another try may help."""
    if _is_full(refusal):
        return False
    return refusal.status in _TRANSIENT_STATUS or refusal.code in _TRANSIENT_CODES


def _is_full(refusal: Refusal) -> bool:
    return refusal.status == 507 or bool(_FULL.search(refusal.code))


def explain(refusal: Refusal, action: str, address: str, bucket: str, endpoint: str, credentials: str) -> Fatal:
    """The one line for a refusal that is for good.

    Args:
        action: S3's name, such as GetObject.
        address: of the object or the prefix.
        bucket: s3://name.
        endpoint: the server's URL.
        credentials: where they came from.
    """
    code = refusal.code
    if code in ("NoSuchKey", "NoSuchVersion") or (refusal.status == 404 and not code):
        return Missing(f"{address}: no such object")
    if code == "NoSuchBucket":
        return Fatal(f"{bucket}: no such bucket at {endpoint}: make it, or check the name and AWS_ENDPOINT_URL_S3")
    if code == "RequestTimeTooSkewed" or (refusal.status in (400, 403) and abs(refusal.ahead_s) > _SKEW_S):
        way = "ahead of" if refusal.ahead_s >= 0 else "behind"
        by = f"{abs(refusal.ahead_s):.0f} s {way}" if abs(refusal.ahead_s) >= 1 else "too far from"
        return Fatal(f"{bucket}: this machine's clock is {by} the clock of {endpoint}: set it right")
    if code in ("InvalidAccessKeyId", "InvalidClientTokenId"):
        return Fatal(f"{bucket}: {endpoint} does not know this access key: check {credentials}")
    if code == "SignatureDoesNotMatch":
        return Fatal(f"{bucket}: the secret key does not belong to the access key: check {credentials}")
    if code in ("ExpiredToken", "InvalidToken", "TokenRefreshRequired"):
        return Fatal(f"{bucket}: the session token is not valid any more ({code}): renew {credentials}")
    if code in (
        "PermanentRedirect",
        "TemporaryRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraint",
    ) or (refusal.status in (301, 307)):
        where = f"set AWS_REGION={refusal.region}" if refusal.region else "check AWS_REGION and AWS_ENDPOINT_URL_S3"
        return Fatal(f"{bucket}: the bucket is in another region or at another endpoint: {where}")
    if _is_full(refusal):
        return Fatal(
            f"{address}: the store is full ({code or refusal.status}): free space or raise the quota of {bucket}"
        )
    if code in ("AccessDenied", "AllAccessDisabled", "AccountProblem") or refusal.status in (401, 403):
        hint = " (or the object is not there and s3:ListBucket is not allowed)" if action == "GetObject" else ""
        return Fatal(f"{address}: forbidden: s3:{action}{hint}: allow it to the access key of {credentials}")
    if code == "InvalidObjectState":
        return Fatal(f"{address}: archived: restore the object first")
    if "HTTP request to an HTTPS server" in refusal.message:
        return Fatal(f"{endpoint}: the server speaks TLS: write https:// in the endpoint")
    if refusal.status == 405:
        return Fatal(f"{address}: s3:{action} is not allowed on this bucket ({code or 405}): is it read-only?")
    if refusal.status == 501 or code == "NotImplemented":
        return Fatal(f"{address}: {endpoint} does not offer s3:{action} as it is used here: use a newer S3 server")
    return Fatal(f"{address}: s3:{action} failed: {endpoint} answered {refusal}")
