"""The Kubernetes API, asked with patience."""

import json
import os
import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError, ProxyError, SSLError

from ...components.failure import Fatal
from .kubeconfig import Access, NotUsable, load

Note = Callable[[str], None]

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PATIENCE_S: Final = 300.0
"""How long the API server may stay away."""
_REFUSED_S: Final = 10.0
"""How long a refusal may last: an API server that has just started refuses what it will allow."""
_TIMEOUT_S: Final = (5, 30)


class Unreachable(OSError):
    """The API server stayed away: worth another try."""


class OverQuota(Exception):
    """A quota of the namespace has no room for what was to be made. The text is the API server's."""


class Cluster:
    """One namespace of a cluster.

    Every method waits for an API server that is away, up to five minutes, and tells so.

    Raises (every method):
        Fatal: refused (RBAC), the request is not valid, or the namespace is not there or is going; names what was
            asked for.
        NotUsable: the credentials are not accepted.
        Unreachable: the API server stayed away.
    """

    def __init__(
        self,
        api: client.ApiClient,
        namespace: str,
        inside: bool,
        patience_s: float = _PATIENCE_S,
        source: str = "the kubeconfig",
    ) -> None:
        """
        Args:
            source: what says how to ask it, for messages.
        """
        self.namespace, self.inside, self._source = namespace, inside, source
        self.note: Note = lambda line: None
        self._api, self._patience_s = api, patience_s
        self._core, self._batch = client.CoreV1Api(api), client.BatchV1Api(api)

    def template(self, name: str) -> dict[str, Any]:
        """The pod template of a PodTemplate, as plain data.

        Raises:
            Fatal: there is none of that name.
        """
        found = self._ask(f"get podtemplate {name}", self._core.read_namespaced_pod_template, name, self.namespace)
        if found is None:
            raise Fatal(
                f"podtemplate {name}: not in namespace {self.namespace}: it says what pods look like; "
                "kubectl apply -k manifests/pods puts it there"
            )
        return dict(self._api.sanitize_for_serialization(found.template))

    def config_map(self, name: str) -> Any | None:
        """A ConfigMap, or None."""
        return self._ask(f"get configmap {name}", self._core.read_namespaced_config_map, name, self.namespace)

    def create_config_map(self, body: dict[str, Any]) -> Any | None:
        """A new ConfigMap; None where one of its name is there already.

        Raises:
            OverQuota: no room for one more.
        """
        what = f"create configmap {body['metadata']['name']}"
        return self._create(what, self._core.create_namespaced_config_map, body)

    def patch_config_map(self, name: str, body: dict[str, Any]) -> Any | None:
        """Merge into a ConfigMap; None where it has gone, or is another by now."""
        return self._ask(f"patch configmap {name}", self._core.patch_namespaced_config_map, name, self.namespace, body)

    def job(self, name: str) -> Any | None:
        """A Job, or None."""
        return self._ask(f"get job {name}", self._batch.read_namespaced_job, name, self.namespace)

    def create_job(self, body: dict[str, Any]) -> Any | None:
        """A new Job; None where one of its name is there already.

        Raises:
            OverQuota: no room for one more.
        """
        what = f"create job {body['metadata']['name']}"
        return self._create(what, self._batch.create_namespaced_job, body)

    def delete_job(self, job: Any) -> None:
        """Remove this very Job and its pods, if it is still there."""
        options = client.V1DeleteOptions(
            propagation_policy="Background", preconditions=client.V1Preconditions(uid=job.metadata.uid)
        )
        name = job.metadata.name
        self._ask(f"delete job {name}", self._batch.delete_namespaced_job, name, self.namespace, body=options)

    def jobs(self, selector: str) -> list[Any]:
        """Jobs by label."""
        return self._list("jobs", self._batch.list_namespaced_job, label_selector=selector)

    def pods(self, selector: str) -> list[Any]:
        """Pods by label."""
        return self._list("pods", self._core.list_namespaced_pod, label_selector=selector)

    def warnings(self, job: Any) -> list[Any]:
        """Warning events about a Job, the newest last."""
        named = f"involvedObject.kind=Job,involvedObject.name={job.metadata.name}"
        about = f"{named},involvedObject.uid={job.metadata.uid},type=Warning"
        found = self._list("events", self._core.list_namespaced_event, field_selector=about)
        return sorted(found, key=lambda event: str(event.last_timestamp or event.event_time or ""))

    def log_tail(self, pod: str, lines: int) -> str:
        """The last lines of a pod's log; nothing where there is none yet."""
        try:
            found = self._core.read_namespaced_pod_log(
                pod, self.namespace, tail_lines=lines, _request_timeout=_TIMEOUT_S
            )
        except (ApiException, HTTPError, OSError):
            return ""
        return str(found)

    def warn(self, config_map: Any, reason: str, line: str) -> None:
        """Leave a Warning event on a ConfigMap, for `kubectl get events` and `kubectl describe`."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        meta = config_map.metadata
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{meta.name[:200]}-", "namespace": self.namespace},
            "type": "Warning",
            "reason": reason,
            "message": line[:1024],
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": meta.name,
                "namespace": self.namespace,
                "uid": meta.uid,
            },
            "source": {"component": "unecho"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        with suppress(OverQuota):
            self._create("create event", self._core.create_namespaced_event, event)

    def _list(self, kind: str, call: Callable[..., Any], **selector: Any) -> list[Any]:
        found = self._ask(f"list {kind}", call, self.namespace, **selector)
        return list(found.items) if found else []

    def _create(self, what: str, call: Callable[..., Any], body: dict[str, Any]) -> Any | None:
        """Make an object; None where one of its name is there already."""
        return self._ask(what, call, self.namespace, body, creates=True)

    def _ask(
        self, what: str, call: Callable[..., Any], *args: Any, creates: bool = False, **options: Any
    ) -> Any | None:
        """Make one call to its end; None when the object is not there, or is not the one that was meant."""
        began, silent = time.monotonic(), True
        while True:
            try:
                return call(*args, **options, _request_timeout=_TIMEOUT_S)
            except ApiException as error:
                if error.status == 409 or (error.status == 404 and not creates):
                    return None
                lasts = time.monotonic() - began > _REFUSED_S
                if failure := self._failure(error, what, lasts):
                    raise failure from None
                reason = _message(error)
            except config.ConfigException as error:  # a token has expired and cannot be renewed
                raise NotUsable(f"{self._source}: {' '.join(str(error).split())}: log in anew") from None
            except (HTTPError, OSError) as error:
                if hopeless := self._hopeless(error):
                    raise hopeless from None
                reason = f"the API server does not answer ({type(error).__name__}){self._by_way}"
            except (ValueError, TypeError) as error:  # http.client repeats a header that it cannot send
                odd = type(error).__name__
                break
            if time.monotonic() - began > self._patience_s:
                raise Unreachable(f"cluster: {what}: {reason}, for {self._patience_s:.0f} s")
            if silent and time.monotonic() - began > 2:
                silent = False
                self.note(f"cluster: {what}: {reason}: waiting")
            time.sleep(1)
        raise NotUsable(f"{self._source}: cluster: {what}: cannot be asked ({odd}): check its credentials")

    def _failure(self, error: ApiException, what: str, lasts: bool) -> Exception | None:
        """What an answer means where another try does not help; None where it may.

        Args:
            lasts: whether it has been refused for some time: an API server that has just started refuses all.
        """
        reason, within = _message(error), f"cluster: {what} in namespace {self.namespace}"
        if error.status == 404:  # there was nothing to find
            return Fatal(
                f"namespace {self.namespace}: not there, or not any more ({what}): "
                f"kubectl create namespace {self.namespace}, or give --namespace"
            )
        if error.status == 403 and ("NamespaceTerminating" in _causes(error) or "is being terminated" in reason):
            return Fatal(
                f"namespace {self.namespace}: is being deleted ({what}): when it has gone, "
                "make it anew and start again, or give --namespace"
            )
        if error.status == 403 and "exceeded quota" in reason:
            return OverQuota(reason)
        if error.status in (401, 403):
            if not lasts:
                return None
            if error.status == 401:
                return NotUsable(
                    f"{self._source}: the API server does not accept its credentials ({what}: {reason}): "
                    "they may have expired: log in anew"
                )
            return Fatal(f"{within}: refused: {reason}: manifests/base/rbac.yaml has the rights that are needed")
        if error.status not in (0, 429) and error.status < 500:
            return Fatal(f"cluster: {what}: {reason}")
        return None

    @property
    def _by_way(self) -> str:
        proxy = self._api.configuration.proxy
        return f" by way of the proxy {proxy}" if proxy else ""

    def _hopeless(self, error: Exception) -> Fatal | None:
        """What no connection means where another try does not help."""
        reason = getattr(error, "reason", error)
        if isinstance(reason, ProxyError) and re.search(r"Tunnel connection failed: 40[137]", str(reason)):
            return NotUsable(
                f"{self._source}: the proxy {self._api.configuration.proxy} does not let the request through "
                f"({' '.join(str(reason.original_error).split())}): check its user and password, or NO_PROXY"
            )
        cause = reason.args[0] if isinstance(reason, SSLError) and reason.args else None
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NotUsable(
                f"{self._source}: the API server's certificate is not trusted ({cause.verify_message}): "
                "check certificate-authority"
            )
        return None


def connect(context: str | None = None, namespace: str | None = None, patience_s: float = _PATIENCE_S) -> Cluster:
    """The cluster that this pod runs in, else the kubeconfig's.

    Args:
        context: of the kubeconfig; None: in a pod the pod's own cluster, elsewhere the current context.
        namespace: None: the pod's own, or the context's.
        patience_s: how long the API server may stay away.

    Raises:
        NotUsable: there is no cluster to talk to, or the kubeconfig or its context cannot be used.
    """
    inside = context is None and not os.environ.get("KUBECONFIG") and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
    access = _own_cluster() if inside else load(context)
    access.settings.retries = 0  # the waiting is done here
    return Cluster(client.ApiClient(access.settings), namespace or access.namespace, inside, patience_s, access.source)


def _own_cluster() -> Access:
    """The cluster of this pod, by its service account. Its API server is near: no proxy is asked."""
    settings = client.Configuration()
    source = "this pod's service account"
    try:
        config.load_incluster_config(client_configuration=settings)
        here = _NAMESPACE_FILE.read_text().strip()
    except (config.ConfigException, OSError) as error:
        raise NotUsable(f"{source}: {error}: give the pod a token, or set KUBECONFIG") from None
    settings.proxy = settings.no_proxy = settings.proxy_headers = None
    return Access(settings, source, here)


def _causes(error: ApiException) -> list[str]:
    """The reasons that the API server gives for programs."""
    try:
        return [str(cause.get("reason")) for cause in json.loads(error.body)["details"]["causes"]]
    except (TypeError, ValueError, KeyError, AttributeError):
        return []


def _message(error: ApiException) -> str:
    """The API server's own message, in one line."""
    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason or f"status {error.status}"
    return " ".join(str(message).split())
