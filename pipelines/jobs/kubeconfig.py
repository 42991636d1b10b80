"""The kubeconfig: read whole before the API server is asked, so that what is wrong with it is one line."""

import os
import shutil
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import yaml
from kubernetes import client, config
from kubernetes.config.dateutil import parse_rfc3339
from kubernetes.config.exec_provider import ExecProvider
from kubernetes.config.kube_config import FileOrData, KubeConfigLoader, KubeConfigMerger

from ...components.failure import Fatal
from ...components.store.s3.proxies import Proxy, proxy_of


class NotUsable(Fatal):
    """A kubeconfig, or the credentials in it, with which no cluster can be asked."""


class NotThere(NotUsable):
    """There is no kubeconfig: nobody has a cluster here."""


@dataclass(frozen=True)
class Access:
    """How a cluster is asked.

    Attributes:
        source: what says so, for messages: the file and the context.
        namespace: the context's.
    """

    settings: client.Configuration
    source: str
    namespace: str


def load(context: str | None, environment: Mapping[str, str] = os.environ) -> Access:
    """Read the kubeconfig.

    Args:
        context: None: the current one.

    Raises:
        NotThere: there is no such file.
        NotUsable: it cannot be used; names the file, the context, and what to do.
    """
    text = environment.get("KUBECONFIG") or "~/.kube/config"
    paths = [Path(part).expanduser() for part in text.split(os.pathsep) if part]
    there = [path for path in paths if os.path.exists(path)]  # false where one may not look, too
    shown = os.pathsep.join(str(path) for path in there or paths)
    if not there:
        raise NotThere(f"kubeconfig {shown}: no such file: set KUBECONFIG to your cluster's, or give --context")
    for path in there:
        _check_file(path)
    return _load(KubeConfigMerger(os.pathsep.join(map(str, there))).config, shown, context, environment)


def _check_file(path: Path) -> None:
    """A file that is YAML of the right shape, as far as it is read at all."""

    def refuse(what: str) -> NoReturn:
        raise NotUsable(f"kubeconfig {path}: {what}: mend it, or set KUBECONFIG to another file") from None

    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        refuse(f"cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        refuse("not a text in UTF-8")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        refuse("not YAML" + (f" (line {mark.line + 1})" if mark else ""))  # no more of it: there are tokens in it
    if found is None:
        refuse("empty")
    if not isinstance(found, dict):
        refuse("not a kubeconfig: it has no fields")
    for field, inner in (("clusters", "cluster"), ("contexts", "context"), ("users", "user")):
        entries = found.get(field) or []
        if not isinstance(entries, list):
            refuse(f"its {field} are no list")
        for number, entry in enumerate(entries, start=1):
            named = isinstance(entry, dict) and isinstance(entry.get("name"), str)
            if not named or not isinstance(entry.get(inner) or {}, dict):
                refuse(f"entry {number} of its {field} has no name or no {inner}")


def _load(merged: Any, shown: str, context: str | None, environment: Mapping[str, str]) -> Access:
    tree = merged.value
    name = context or tree.get("current-context")
    names = ", ".join(str(entry["name"]) for entry in tree["contexts"]) or "none"
    if not name:
        raise NotUsable(
            f"kubeconfig {shown}: it has no current context: give --context (it has: {names}), or "
            "kubectl config use-context NAME"
        )
    source = f"kubeconfig {shown}, context '{name}'"
    chosen = _entry(tree["contexts"], name)
    if chosen is None:
        raise NotUsable(f"{source}: no such context (it has: {names}): choose one by --context")
    cluster = _part(tree, source, chosen, "cluster")
    user = _part(tree, source, chosen, "user")
    _check_server(source, cluster)
    settings = client.Configuration()
    try:
        _Loader(config_dict=merged, active_context=name, config_base_path=None).load_and_set(settings)
    except config.ConfigException as error:
        raise NotUsable(f"{source}: {_line(error)}: mend it, or choose another by --context") from None
    except Exception as error:  # the client has no errors of its own for most of what can be wrong
        provider = (user.get("auth-provider") or {}).get("name")
        what = f"its auth-provider {provider} gives no token" if provider else "its user cannot be used"
        failed = f"{source}: {what} ({type(error).__name__}): log in anew, or use an exec plugin"
    else:
        _check_certificates(source, settings)
        _set_proxy(source, settings, cluster.get("proxy-url"), environment)
        return Access(settings, source, str((chosen.get("context") or {}).get("namespace") or "default"))
    raise NotUsable(failed)


def _part(tree: Mapping[str, Any], source: str, chosen: Any, kind: str) -> dict[str, Any]:
    """The cluster or the user of a context; a context without a user asks as nobody."""
    name = (chosen.get("context") or {}).get(kind)
    found = _entry(tree[f"{kind}s"], name) if name else None
    if found is None and (name or kind == "cluster"):
        what = f"{kind} '{name}', which is not there" if name else f"no {kind}"
        raise NotUsable(f"{source}: it names {what}: mend it, or choose another by --context")
    return dict(found.get(kind) or {}) if found else {}


def _entry(entries: Any, name: object) -> Any | None:
    """The entry of a name: plain data, or as the client has wrapped it."""
    found = next((entry for entry in entries if entry["name"] == name), None)
    return getattr(found, "value", found)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _check_server(source: str, cluster: Mapping[str, Any]) -> None:
    server = cluster.get("server")
    try:
        parts = urlsplit(server if isinstance(server, str) else "")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise NotUsable(f"{source}: the server of its cluster is {server!r}: write https://HOST:PORT")


def _check_certificates(source: str, settings: client.Configuration) -> None:
    """Files that TLS would stumble over at the first request."""
    if not str(settings.host).startswith("https"):
        return
    checked = ssl.create_default_context()
    what, file = "certificate-authority", settings.ssl_ca_cert
    try:
        if file:
            checked.load_verify_locations(cafile=file)
        what, file = "client-certificate and client-key", settings.cert_file
        if file:
            checked.load_cert_chain(file, settings.key_file)
    except OSError:  # SSLError is one
        raise NotUsable(f"{source}: {what}: {file} cannot be read as PEM: fetch it anew") from None


def _set_proxy(source: str, settings: client.Configuration, named: object, environment: Mapping[str, str]) -> None:
    """The kubeconfig's own proxy, else the environment's, which is not for this machine itself, as kubectl has it."""
    host = urlsplit(settings.host).hostname or ""
    proxy = None
    try:
        if named:
            proxy = Proxy.parse(str(named).strip(), "proxy-url")
        elif not _is_this_machine(host):
            proxy = proxy_of(settings.host, environment)
    except Fatal as error:
        raise NotUsable(f"{source}: {error}") from None
    settings.proxy, settings.no_proxy = (proxy.url, "") if proxy else (None, None)
    settings.proxy_headers = dict(proxy.headers) if proxy else None


def _is_this_machine(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


class _Loader(KubeConfigLoader):  # type: ignore[misc]  # kubernetes is untyped
    """The client's loader, but a plugin that fails is an error, where the client only logs it, and so is a token that
    no header can carry.
    """

    def _load_from_exec_plugin(self) -> bool | None:
        if "exec" not in self._user:
            return None
        plugin, base = self._user["exec"], self._get_base_path(self._cluster.path)
        command = str(plugin["command"])
        if shutil.which(os.path.join(base, command) if os.sep in command else command) is None:
            raise config.ConfigException(f"its exec plugin {command} is not installed")
        given = False
        try:
            self._take(ExecProvider(plugin, base).run(), base)
            given = True
        except (config.ConfigException, OSError) as error:
            raise config.ConfigException(f"its exec plugin {command} fails ({_line(error)}): log in anew") from None
        except (KeyError, TypeError, ValueError, AttributeError):  # their texts may hold what it gave
            pass
        if not given:
            raise config.ConfigException(f"its exec plugin {command} gives no token and no certificate: log in anew")
        return True

    def _take(self, status: Mapping[str, Any], base: str) -> None:
        if "token" in status:
            self.token = f"Bearer {status['token']}"
        else:
            for attribute, name in (("cert_file", "clientCertificateData"), ("key_file", "clientKeyData")):
                options = {"data_key_name": name, "file_base_path": base, "base64_file_content": False}
                setattr(self, attribute, FileOrData({name: status[name]}, None, **options).as_file())
        if "expirationTimestamp" in status:
            self.expiry = parse_rfc3339(status["expirationTimestamp"])

    def _set_config(self, client_configuration: client.Configuration) -> None:
        if "token" in self.__dict__:
            self.token = self.token.strip()
            if not (self.token.isascii() and self.token.isprintable()):
                raise config.ConfigException("its token has a line end or a character that is not plain ASCII")
        super()._set_config(client_configuration)
