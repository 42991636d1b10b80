"""Which server, by the names that S3 clients use."""

from urllib.parse import urlsplit

import pytest

from tests.services.s3 import bare
from unecho.components.failure import Fatal
from unecho.components.store.s3.bucket import Bucket
from unecho.components.store.s3.endpoint import Endpoint

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.mark.parametrize(
    ("environment", "url", "region"),
    [
        ({}, "https://s3.amazonaws.com", None),
        ({"AWS_REGION": "eu-west-1"}, "https://s3.amazonaws.com", "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "https://s3.amazonaws.com", "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "x"}, "https://s3.amazonaws.com", "eu-west-1"),
        ({"AWS_ENDPOINT_URL": "http://minio:9000"}, "http://minio:9000", "us-east-1"),
        ({"AWS_ENDPOINT_URL": "http://minio:9000/"}, "http://minio:9000", "us-east-1"),
        ({"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_S3": "https://b"}, "https://b", "us-east-1"),
        ({"AWS_ENDPOINT_URL": "http://a:1", "MINIO_ENDPOINT": "b:9000"}, "http://a:1", "us-east-1"),
        ({"MINIO_ENDPOINT": "minio.kubeflow:9000"}, "https://minio.kubeflow:9000", "us-east-1"),
        ({"MINIO_ENDPOINT": "minio:9000", "MINIO_SECURE": "false"}, "http://minio:9000", "us-east-1"),
        ({"MINIO_ENDPOINT": "http://minio:9000", "MINIO_SECURE": "true"}, "http://minio:9000", "us-east-1"),
        ({"AWS_ENDPOINT_URL": "http://[::1]:9000"}, "http://[::1]:9000", "us-east-1"),
    ],
)
def test_the_endpoint_and_region_of_an_environment(environment: dict[str, str], url: str, region: str | None) -> None:
    endpoint = Endpoint.from_environment(environment)
    assert (endpoint.url, endpoint.region) == (url, region)
    assert endpoint.patience_s == 300


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"AWS_ENDPOINT_URL": "minio:9000"},
            "AWS_ENDPOINT_URL: write it with its scheme: https://HOST or http://HOST:PORT",
        ),
        ({"AWS_ENDPOINT_URL_S3": "http://a/b"}, "AWS_ENDPOINT_URL_S3: 'http://a/b' is not of the form"),
        ({"AWS_ENDPOINT_URL_S3": "ftp://a"}, "AWS_ENDPOINT_URL_S3: 'ftp://a' is not of the form"),
        ({"AWS_ENDPOINT_URL_S3": "http://a:port"}, "AWS_ENDPOINT_URL_S3: not of the form"),
        ({"AWS_REGION": "eu west"}, "AWS_REGION: 'eu west' is no name of a region"),
        ({"UNECHO_S3_ADDRESSING": "dns"}, "UNECHO_S3_ADDRESSING: 'dns': use auto, path or virtual"),
        ({"UNECHO_S3_PATIENCE_S": "long"}, "UNECHO_S3_PATIENCE_S: 'long': use a number of at least 0"),
        ({"UNECHO_S3_CONNECTIONS": "0"}, "UNECHO_S3_CONNECTIONS: '0': use a number of at least 1"),
        ({"MINIO_ENDPOINT": "a", "MINIO_SECURE": "maybe"}, "MINIO_SECURE: 'maybe': use true or false"),
        ({"AWS_CA_BUNDLE": "/no/file"}, "AWS_CA_BUNDLE: /no/file: no such file"),
        ({"SSL_CERT_FILE": __file__}, f"SSL_CERT_FILE: {__file__}: cannot be read as certificates in PEM form"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(environment: dict[str, str], line: str) -> None:
    with pytest.raises(Fatal) as caught:
        Endpoint.from_environment(environment)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("environment", "host", "path"),
    [
        ({"AWS_ENDPOINT_URL": "http://minio:9000"}, "minio:9000", "/bucket/key"),
        ({"AWS_ENDPOINT_URL": "http://minio:9000", "UNECHO_S3_ADDRESSING": "virtual"}, "bucket.minio:9000", "/key"),
        ({"AWS_REGION": "eu-west-1"}, "bucket.s3.eu-west-1.amazonaws.com", "/key"),
        ({"AWS_REGION": "eu-west-1", "UNECHO_S3_ADDRESSING": "path"}, "s3.eu-west-1.amazonaws.com", "/bucket/key"),
    ],
)
def test_the_bucket_stands_in_the_path_or_in_the_host(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], host: str, path: str
) -> None:
    bare(monkeypatch)
    for name, value in (KEYS | environment).items():
        monkeypatch.setenv(name, value)
    url = urlsplit(Bucket("bucket", "").client.get_presigned_url("GET", "bucket", "key"))
    assert (url.netloc, url.path) == (host, path)
