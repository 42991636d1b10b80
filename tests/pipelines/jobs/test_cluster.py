"""The API server, as far as one that is not there can show it."""

import socket

import pytest
from kubernetes import client

from unecho.components.failure import Fatal
from unecho.pipelines.jobs.cluster import Cluster, Unreachable, connect


def test_a_server_that_stays_away_is_waited_for_and_then_worth_another_try() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = client.Configuration()
        settings.host, settings.retries = f"http://127.0.0.1:{free.getsockname()[1]}", 0
        told: list[str] = []
        cluster = Cluster(client.ApiClient(settings), "ns", inside=False, patience_s=2.5)
        cluster.note = told.append
        with pytest.raises(Unreachable, match=r"cluster: get job a: the API server does not answer .*, for 2 s"):
            cluster.job("a")
    assert len(told) == 1, "told once"


def test_no_kubeconfig_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(Fatal, match="no such file: set KUBECONFIG"):
        connect()
