"""Whether what answers at an address is Kubeflow Pipelines, and lets us in: asked once, before anything else.

kfp's own client asks five times, five seconds apart, follows redirects to login pages, and keeps the answer to itself.
"""

import json
from functools import cached_property
from typing import Any, Final
from urllib.parse import urljoin

import kfp_server_api
import urllib3
from kfp.client import Client
from urllib3.exceptions import HTTPError, LocationValueError, SSLError

from ...components.failure import Fatal

_PATH: Final = "/apis/v2beta1/healthz"
_PATIENCE: Final = urllib3.Timeout(connect=5, read=10)
_IS_THE_PATH_RIGHT: Final = "is the path right (https://HOST/pipeline)?"


class AskingOnce(Client):  # type: ignore[misc]  # kfp has no types
    """kfp's client, which asks for its health once: with its own proxies, certificates, token and cookies."""

    def get_kfp_healthz(self, sleep_duration: int = 5) -> kfp_server_api.V2beta1GetHealthzResponse:
        """What healthz says, as it was when first asked.

        Raises:
            Fatal: we are not let in, or it is not Kubeflow Pipelines that answers.
            OSError: it cannot be reached, or is not ready.
        """
        return self._health

    @property
    def has_credentials(self) -> bool:
        """Whether a request says who asks."""
        return bool(_headers(self._healthz_api.api_client).keys() - {"User-Agent"})

    @cached_property
    def _health(self) -> kfp_server_api.V2beta1GetHealthzResponse:
        api = self._healthz_api.api_client
        url, where = api.configuration.host + _PATH, shown(api.configuration.host)
        try:
            answer = api.rest_client.pool_manager.request(
                "GET",
                url,
                headers={"Accept": "application/json"} | _headers(api),
                timeout=_PATIENCE,
                retries=False,
                redirect=False,
            )
        except LocationValueError:
            raise Fatal(f"--host: '{where}' is no address: give https://HOST/pipeline") from None
        except SSLError as error:
            raise Fatal(f"{where}: {cause(error)}: is https right, and its authority given by --ca?") from None
        except HTTPError as error:
            raise OSError(f"{where}: cannot be reached: {cause(error)}") from None
        login = "is the token right, and not expired?" if self.has_credentials else "give a token by --token-file"
        location = answer.headers.get("Location")
        if 300 <= answer.status < 400 and location:
            raise Fatal(f"{where}: {_moved(url, location) or f'asks for a login at {_target(url, location)}: {login}'}")
        if answer.status != 200:
            refused = refusal(where, answer.status, answer.reason, answer.data, self.has_credentials)
            other = isinstance(refused, Fatal) and answer.status not in (401, 403)
            raise Fatal(f"{refused}: {_IS_THE_PATH_RIGHT}") if other else refused
        try:
            said = json.loads(answer.data)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            page = "a web page" if b"<html" in answer.data[:1000].lower() else "another program"
            raise Fatal(f"{where}: {page} answers, not Kubeflow Pipelines: {_IS_THE_PATH_RIGHT} Else {login}")
        return kfp_server_api.V2beta1GetHealthzResponse(multi_user=said.get("multi_user"))


def refusal(where: str, status: int, reason: str | None, body: bytes | str | None, has_credentials: bool) -> Exception:
    """What an answer that is no success means: `Fatal`, or an `OSError` where another try may help."""
    line = f"{where}: {status} {reason or ''}".rstrip() + _message(body)
    if status in (408, 429) or not 300 <= status < 500:
        return OSError(line)
    if status in (401, 403):
        of_token = "is the token right, not expired, and allowed to do that?"
        return Fatal(f"{line}: {of_token if has_credentials else 'give a token by --token-file'}")
    return Fatal(line)


def shown(address: str) -> str:
    """An address without what may be secret in it: user and password, the query."""
    rest = address.partition("?")[0].partition("#")[0]
    scheme, mark, rest = rest.rpartition("://")
    host, slash, path = rest.partition("/")
    return scheme + mark + host.rpartition("@")[2] + slash + path


def first_line(text: str) -> str:
    """Of a text that may have many; at most 300 characters."""
    return next(iter(text.splitlines()), "")[:300]


def cause(error: Exception) -> str:
    """What urllib3 means, without its layers and the addresses of objects."""
    inner = getattr(error, "reason", None) or error
    texts = [text for text in getattr(inner, "args", ()) if isinstance(text, str)]
    return first_line(texts[-1] if texts else str(inner)).rpartition(">: ")[2].rpartition("): ")[2]


def _headers(api: kfp_server_api.ApiClient) -> dict[str, str]:
    """The headers of a client's requests: who it is, and who asks."""
    headers: dict[str, str] = dict(api.default_headers)
    if api.cookie:
        headers["Cookie"] = api.cookie
    api.update_params_for_auth(headers, [], ["Bearer"])
    return {name: value for name, value in headers.items() if value}


def _target(url: str, location: str) -> str:
    return shown(urljoin(url, location))


def _moved(url: str, location: str) -> str | None:
    """The line for the same path elsewhere, such as https for http: kfp would lose on the way what it posts."""
    target = _target(url, location)
    if not target.endswith(_PATH) or target == shown(url):
        return None
    return f"has moved: give {target.removesuffix(_PATH)} by --host"


def _message(body: bytes | str | None) -> str:
    """What the API says beside the status."""
    try:
        said: Any = json.loads(body or "{}")
    except ValueError:
        return ""
    text = said.get("message") or said.get("error") or "" if isinstance(said, dict) else ""
    return f": {first_line(str(text))}" if text else ""
