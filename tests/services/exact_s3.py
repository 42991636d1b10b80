"""A small S3 server on loopback that takes every key for what it is, as AWS does; SeaweedFS joins `a//b` and `a/b`.

It lists, reads and knows no signatures.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.services.loopback import Quiet, serving

_DATE = "2025-01-01T00:00:00.000Z"


@contextmanager
def exact_s3(bucket: str, objects: Mapping[str, bytes], *, joins: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Serve the objects of a bucket.

    Args:
        joins: list keys as a server on a file system does, without their empty parts.

    Yields:
        Its address, and the targets of all requests so far.
    """
    asked: list[str] = []

    class Handler(Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            # a client that goes through a proxy names the whole address, where "//" begins no host
            parts = urlsplit(self.path) if "://" in self.path else urlsplit(f"http://here{self.path}")
            key = unquote(parts.path).removeprefix(f"/{bucket}").removeprefix("/")
            if not key:
                self._list({name: values[0] for name, values in parse_qs(parts.query).items()})
            elif key in objects:
                self._answer(200, objects[key], "application/octet-stream")
            else:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")

        do_HEAD = do_GET  # noqa: N815  # http.server calls it so

        def _list(self, query: dict[str, str]) -> None:
            prefix, after = query.get("prefix", ""), query.get("start-after", "")
            keys = sorted(key for key in objects if key.startswith(prefix) and key > after)
            shown = [key.replace("//", "/") if joins else key for key in keys]
            rows = "".join(
                f"<Contents><Key>{quote(name)}</Key><LastModified>{_DATE}</LastModified><ETag>x</ETag>"
                f"<Size>{len(objects[key])}</Size></Contents>"
                for key, name in zip(keys, shown, strict=True)
            )
            text = (
                '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
                f"<Name>{bucket}</Name><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
            )
            self._answer(200, text.encode(), "application/xml")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("ETag", '"x"')):
                self.send_header(name, value)
            self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    with serving(Handler) as address:
        yield f"http://{address}", asked
