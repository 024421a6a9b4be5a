"""A cluster's API server, spoken to patiently: JSON in, JSON out, and faults that pass are retried.

Objects stay dictionaries: the models of the ``kubernetes`` client drop the fields that are newer
than the client. The client itself is used for what it knows best, which is credentials and TLS.
"""

import json
import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from evoptim.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
T = TypeVar("T")

# What the API server, or a proxy before it, answers when another try may succeed.
_PASSING = (408, 429, 500, 502, 503, 504)
# Refusals that pass: a quota that is full, and one that is so new that nobody has counted yet.
_PASSING_REFUSALS = ("exceeded quota", "status unknown for quota")
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
# Fields that are named change, all others stay: what custom resources understand too.
_PATCH = "application/merge-patch+json"

# What the client raises of a file that is no kubeconfig, beside its own exception.
_KUBECONFIG_ERRORS = (yaml.YAMLError, OSError, ValueError, TypeError, AttributeError, LookupError)

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long, and how often, a request is tried again; waits grow and are drawn at random."""

    total: float = 900.0
    """Seconds after which a server that does not answer is an error: upgrades take minutes."""
    first: float = 0.5
    """Longest wait after the first failure, in seconds; it doubles with each further one."""
    longest: float = 30.0
    """Longest wait between two tries, in seconds."""

    def wait(self, failures: int, asked: float | None = None) -> float:
        """Seconds to wait after this many failures.

        Args:
            failures: Failures in a row, at least 1.
            asked: What the server asked for, as ``Retry-After``.
        """
        bound: float = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        # Never in step with the other clients that it turned away.
        drawn = random.uniform(bound / 2, bound)
        return drawn if asked is None else min(asked, self.longest) + drawn


class ApiError(InfrastructureError):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status code."""
        self.reason = reason
        """Kubernetes' word for it, such as ``AlreadyExists``."""


class ForbiddenError(InputError):
    """The user may not do this; whether it would have worked is not known."""


class ExpiredError(InfrastructureError):
    """A watch cannot go on from where it was: list again."""


class Cluster:
    """The API server of one cluster, with the credentials of one user."""

    def __init__(self, client: "ApiClient", patience: Patience) -> None:
        self._client = client
        self._patience = patience

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        patience: Patience | None = None,
    ) -> Object:
        """Send one request until it is answered.

        Args:
            method: HTTP method.
            path: Path, such as ``/apis/batch/v1/namespaces/evoptim/jobs``.
            query: Parameters.
            body: Object to send.
            patience: In place of this cluster's.

        Raises:
            ApiError: the server refuses; :attr:`ApiError.status` tells why.
            InputError: it does not know the user, or does not allow it.
            InfrastructureError: it cannot be reached for longer than the patience allows.
        """
        return self._patiently(method, path, query, body, patience, _answer)

    def text(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> str:
        """Read what is no object, such as a pod's log; raises as :meth:`request`."""
        return self._patiently("GET", path, query, None, patience, _text)

    def clock(self) -> datetime | None:
        """The server's time, to the second; None where a proxy left it out. Raises as others."""
        told = self._patiently("GET", "/version", None, None, None, _date)
        return None if told is None else parsedate_to_datetime(told)

    @property
    def address(self) -> str:
        """URL of the API server."""
        return str(self._client.configuration.host)

    def _patiently(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        patience: Patience | None,
        read: Callable[[Any], T],
    ) -> T:
        patience = patience or self._patience
        deadline = time.monotonic() + patience.total
        failures = 0
        while True:
            try:
                with closing(self._open(method, path, query, body, _READ_SECONDS)) as response:
                    return read(response)
            except _PassingError as error:
                failures += 1
                wait = patience.wait(failures, error.retry_after)
                if time.monotonic() + wait > deadline:
                    raise InfrastructureError(
                        f"the API server of the cluster failed for {patience.total:.0f} s "
                        f"({error}): check that {self.address} is the right one (KUBECONFIG) and "
                        "the network, or run the same command again when it is back"
                    ) from error
                _LOGGER.warning("%s %s: %s; again in %.1f s", method, path, error, wait)
                time.sleep(wait)

    def watch(self, path: str, query: Mapping[str, str], seconds: int) -> Iterator[Object]:
        """Events of the objects that a listing finds, for at most so many seconds.

        It may end earlier, without a word: connections break. List again and go on from there.

        Args:
            path: Path of the listing.
            query: Its parameters, ``resourceVersion`` among them.
            seconds: When the server is to end it.

        Yields:
            ``{"type": "ADDED" | "MODIFIED" | "DELETED", "object": …}``

        Raises:
            ExpiredError: the resource version is too old.
            ApiError, InputError: as :meth:`request`.
        """
        asked = {**query, "watch": "true", "timeoutSeconds": str(seconds)}
        try:
            with closing(self._open("GET", path, asked, None, seconds + _CONNECT_SECONDS)) as lines:
                for line in _lines(lines):
                    event: Object = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _watch_error(event["object"])
                    if event["type"] != "BOOKMARK":
                        yield event
        except ApiError as error:
            if error.status != 410:
                raise
            raise ExpiredError(str(error)) from error
        except (_PassingError, ValueError) as error:
            # A line that broke off, or a server that is away: the next request waits for it.
            _LOGGER.info("the watch of %s broke off: %s", path, error)

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        read_seconds: float,
    ) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return self._client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={
                    "Accept": "application/json, */*",
                    "Content-Type": _PATCH if method == "PATCH" else "application/json",
                },
                body=body,
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _preload_content=False,
                _request_timeout=(_CONNECT_SECONDS, read_seconds),
            )
        except ApiException as error:
            raise _refusal(method, path, error) from error
        except (HTTPError, OSError) as error:
            raise _PassingError(_shortly(error)) from error


def connect(patience: Patience | None = None) -> Cluster:
    """The cluster of ``KUBECONFIG``, or the one around this pod, or that of ``~/.kube/config``.

    Raises:
        InputError: there is none, or its credentials cannot be read.
    """
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise InputError(
            f"a cluster needs the kubernetes client ({error}): pip install 'evoptim[cluster]'"
        ) from None
    configuration = client.Configuration()
    # Read now: the client reads it when it is first imported.
    named = os.environ.get("KUBECONFIG") or None
    try:
        if not named and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(named, client_configuration=configuration)
    except (*_KUBECONFIG_ERRORS, config.ConfigException) as error:
        raise InputError(
            f"no cluster can be reached: {_shortly(error)}; set KUBECONFIG, or run this in a pod "
            "with a service account"
        ) from None
    # Retries are ours: the client's own would hide how long a server has been away.
    configuration.retries = False
    return Cluster(client.ApiClient(configuration), patience or Patience())


class _PassingError(InfrastructureError):
    """A fault that another try may not meet."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def _answer(response: Any) -> Object:
    """A whole response; raises ``_PassingError`` when it breaks off."""
    from urllib3.exceptions import HTTPError

    try:
        answer: Object = json.loads(response.data)
    except (HTTPError, OSError, ValueError) as error:
        raise _PassingError(_shortly(error)) from error
    return answer


def _text(response: Any) -> str:
    from urllib3.exceptions import HTTPError

    try:
        data: bytes = response.data
    except (HTTPError, OSError) as error:
        raise _PassingError(_shortly(error)) from error
    # A program may print anything.
    return data.decode("utf-8", errors="replace")


def _date(response: Any) -> str | None:
    told: str | None = response.headers.get("Date")
    return told


def _lines(response: Any) -> Iterator[bytes]:
    """The lines of a response that arrives over time; raises ``_PassingError`` when it breaks."""
    from urllib3.exceptions import HTTPError

    rest = b""
    try:
        for piece in response.stream(amt=None, decode_content=True):
            *whole, rest = (rest + piece).split(b"\n")
            yield from filter(None, whole)
    except (HTTPError, OSError) as error:
        raise _PassingError(_shortly(error)) from error
    if rest.strip():
        yield rest


def _refusal(method: str, path: str, error: Any) -> InfrastructureError | InputError:
    """What an answer other than 2xx means."""
    details = _status_object(error.body)
    message = details.get("message") or error.reason or "no reason given"
    status = int(error.status or 0)
    if "CERTIFICATE_VERIFY_FAILED" in message:
        return InputError(
            f"the API server cannot be trusted ({' '.join(message.split())}): check the CA in the "
            "kubeconfig"
        )
    if status == 0 or status in _PASSING or any(each in message for each in _PASSING_REFUSALS):
        headers = error.headers or {}
        return _PassingError(f"{status} {message}", _seconds(headers.get("Retry-After")))
    if status == 401:
        return InputError(
            f"the API server does not know these credentials ({message}): log in to the cluster "
            "again, or check the service account's token"
        )
    if status == 403:
        return ForbiddenError(
            f"the API server forbids {method} {path} ({message}): give pods the Role "
            "evoptim-search of the manifests, people evoptim-submitter"
        )
    return ApiError(status, details.get("reason", ""), f"{method} {path}: {status} {message}")


def _watch_error(details: Object) -> InfrastructureError:
    if details.get("code") in (410, 504):
        return ExpiredError(details.get("message", "the resource version is too old"))
    return _PassingError(f"{details.get('code')} {details.get('message')}")


def _status_object(body: bytes | str | None) -> Object:
    try:
        details = json.loads(body or "{}")
    except ValueError:
        # A proxy's own page.
        return {}
    return details if isinstance(details, dict) else {}


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None


def _shortly(error: Exception) -> str:
    line = " ".join(str(error).split())
    return f"{type(error).__name__}: {line[:200]}"
