"""Kubeflow Pipelines: a search as one run, through ``kfp.Client``.

Answers stay dictionaries: the client's own models refuse the states that are newer than it, and its
``wait_for_run_completion`` never returns from a run that was cancelled.
"""

import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from evoptim.errors import InfrastructureError, InputError
from pipelines.kubernetes_api import Patience, connect
from pipelines.submit.engine import EngineState, Package, Phase, Step
from pipelines.submit.record import Submission

Object = dict[str, Any]

ENDPOINT_VARIABLE = "KFP_ENDPOINT"
"""URL of KFP's API; kfp's own ``KF_PIPELINES_ENDPOINT`` is read too."""
TOKEN_VARIABLE = "KFP_TOKEN"
"""Bearer token; without it the token of a pod that kfp knows of is taken."""
COOKIES_VARIABLE = "KFP_COOKIES"
"""Cookies of a login, such as ``oauth2_proxy_kubeflow=…``."""
CA_VARIABLE = "KFP_CA_BUNDLE"
"""File of the authority that signed the endpoint's certificate; ``SSL_CERT_FILE`` is read too."""
NAMESPACE_VARIABLE = "KFP_NAMESPACE"
"""Where KFP itself is installed, if it is reached through the cluster; ``kubeflow`` if not set."""

EXPERIMENT = "evoptim"
"""The experiment that all searches are in."""

_PHASES: dict[str, Phase] = {
    "RUNTIME_STATE_UNSPECIFIED": "pending",
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "cancelled",
    "FAILED": "failed",
    "ERROR": "failed",
    "CANCELING": "cancelling",
    "CANCELED": "cancelled",
    "PAUSED": "suspended",
}
_PASSING = (0, 408, 429, 500, 502, 503, 504)
_TIMEOUTS = (10.0, 60.0)
_PATIENCE = Patience(total=30.0, longest=5.0)
_EQUALS = "EQUALS"


class KfpEngine:
    """One installation of KFP, with the credentials of one user."""

    def __init__(self, endpoint: str | None = None, patience: Patience | None = None) -> None:
        """Set up the client; nothing is contacted yet.

        Args:
            endpoint: URL that a run was submitted to; the environment's goes before it.
            patience: For a server that does not answer.

        Raises:
            InputError: no endpoint is known.
        """
        self._patience = patience or _PATIENCE
        self._client = _client(endpoint)
        self._shared: bool | None = None

    @property
    def address(self) -> str:
        """URL of KFP's API."""
        return str(_configuration(self._client).host)

    def start(self, package: Package) -> str:
        """See :meth:`pipelines.submit.engine.Engine.start`; returns the run's id."""
        body = {
            "display_name": package.name,
            "description": f"evoptim search {package.run} in {package.store}",
            "experiment_id": self._experiment(package.profile.namespace),
            "pipeline_spec": _specification(package.text),
            "runtime_config": {"parameters": package.arguments},
            "service_account": package.profile.steps.service_account,
        }

        def create() -> Object:
            # An answer may have been lost: KFP would take the same run twice.
            found = self._find(package)
            if found is not None:
                return found
            return self._ask(self._client.runs.run_service_create_run, run=body)

        return str(self._patiently(create)["run_id"])

    def state(self, submission: Submission) -> EngineState:
        """See :meth:`pipelines.submit.engine.Engine.state`."""
        found = self._get(submission.engine_id)
        if found is None:
            return EngineState("gone", f"KFP has no run {submission.engine_id} any more")
        return read_run(found)

    def cancel(self, submission: Submission) -> None:
        """See :meth:`pipelines.submit.engine.Engine.cancel`."""
        state = self.state(submission)
        if state.ended or state.phase == "cancelling":
            return
        try:
            self._call(self._client.runs.run_service_terminate_run, run_id=submission.engine_id)
        except _RefusedError:
            # It ended, or was deleted, between the two requests.
            if not self.state(submission).ended:
                raise

    def pods(self, submission: Submission) -> str:
        """See :meth:`pipelines.submit.engine.Engine.pods`."""
        return f"pipeline/runid={submission.engine_id}"

    def page(self, submission: Submission) -> str | None:
        """See :meth:`pipelines.submit.engine.Engine.page`."""
        base = os.environ.get("KF_PIPELINES_UI_ENDPOINT") or self.address
        return f"{base.rstrip('/')}/#/runs/details/{submission.engine_id}"

    def check(self, namespace: str) -> str:
        """Ask for what needs credentials; returns what kind of installation it is.

        Raises:
            InputError: the user is not known, or may not use this namespace.
            InfrastructureError: it cannot be reached.
        """
        self._experiments(namespace)
        return "multi-user" if self._is_shared() else "single-user"

    def _experiment(self, namespace: str) -> str:
        found = self._experiments(namespace).get("experiments") or ()
        if found:
            return str(found[0]["experiment_id"])
        body: Object = {
            "display_name": EXPERIMENT,
            "description": "Searches for optimizers",
            **self._scope(namespace),
        }
        create = self._client.experiments.experiment_service_create_experiment
        try:
            return str(self._call(create, experiment=body)["experiment_id"])
        except _RefusedError as error:
            again = self._experiments(namespace).get("experiments") or ()
            if error.status != 409 or not again:
                raise
            return str(again[0]["experiment_id"])

    def _experiments(self, namespace: str) -> Object:
        listing = self._client.experiments.experiment_service_list_experiments
        return self._call(listing, filter=_named(EXPERIMENT), **self._scope(namespace))

    def _find(self, package: Package) -> Object | None:
        """The run of this very name, store and run, if there is one."""
        found = self._ask(
            self._client.runs.run_service_list_runs,
            filter=_named(package.name),
            **self._scope(package.profile.namespace),
        )
        for each in found.get("runs") or ():
            given = (each.get("runtime_config") or {}).get("parameters") or {}
            if given.get("store") == package.store and given.get("run") == package.run:
                return dict(each)
        return None

    def _get(self, identity: str) -> Object | None:
        try:
            return self._call(self._client.runs.run_service_get_run, run_id=identity)
        except _RefusedError as error:
            if error.status == 404:
                return None
            raise

    def _scope(self, namespace: str) -> Object:
        """Only installations that users share want to be told the namespace."""
        return {"namespace": namespace} if self._is_shared() else {}

    def _is_shared(self) -> bool:
        if self._shared is None:
            health = self._call(self._client.healthzs.healthz_service_get_healthz)
            self._shared = health.get("multi_user") is True
        return self._shared

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Object:
        return self._patiently(lambda: self._ask(method, **arguments))

    def _patiently(self, action: Callable[[], Object]) -> Object:
        deadline = time.monotonic() + self._patience.total
        failures = 0
        while True:
            try:
                return action()
            except _PassingError as error:
                failures += 1
                wait = self._patience.wait(failures)
                if time.monotonic() + wait > deadline:
                    raise InfrastructureError(
                        f"KFP at {self.address} cannot be reached ({error}): check "
                        f"{ENDPOINT_VARIABLE} and the network, then run the same command again"
                    ) from error
                time.sleep(wait)

    def _ask(self, method: Callable[..., Any], **arguments: Any) -> Object:
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        try:
            with warnings.catch_warnings():
                # The client reads headers in a way that urllib3 is giving up.
                warnings.simplefilter("ignore", DeprecationWarning)
                response = method(**arguments, _preload_content=False, _request_timeout=_TIMEOUTS)
                data = response.data
        except ApiException as error:
            raise self._refusal(error) from error
        except (HTTPError, OSError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise InputError(
                    f"KFP at {self.address} must present a trusted certificate "
                    f"({_shortly(error)}): set {CA_VARIABLE} to the file of its authority"
                ) from error
            raise _PassingError(_shortly(error)) from error
        try:
            answer = json.loads(data or b"{}")
        except ValueError as error:
            raise InputError(
                f"{self.address} answers with a page instead of KFP's API: correct "
                f"{ENDPOINT_VARIABLE}, or log in and set {TOKEN_VARIABLE} or {COOKIES_VARIABLE}"
            ) from error
        return answer if isinstance(answer, dict) else {}

    def _refusal(self, error: Any) -> Exception:
        message = _message(error)
        status = int(error.status or 0)
        if status in _PASSING:
            return _PassingError(f"{status} {message}")
        if status == 401:
            return InputError(
                f"KFP at {self.address} does not know these credentials ({message}): a token may "
                f"have expired; set {TOKEN_VARIABLE} or {COOKIES_VARIABLE} to a new one. What runs "
                "goes on."
            )
        if status == 403:
            return InputError(
                f"KFP at {self.address} forbids it ({message}): ask for the role "
                "kubeflow-edit in the profile's namespace, or correct the profile's namespace"
            )
        return _RefusedError(status, f"KFP at {self.address} refuses: {status} {message}")


class _PassingError(InfrastructureError):
    """A fault that another try may not meet."""


class _RefusedError(InputError):
    """The API refuses what it was given."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read_run(run: Object) -> EngineState:
    """Where a run is, by KFP's own words."""
    phase = _PHASES.get(run.get("state") or "PENDING", "running")
    before = {each.get("state") for each in run.get("state_history") or ()}
    if phase == "failed" and before & {"CANCELING", "CANCELED"}:
        # The workflow below a terminated run ends as failed.
        phase = "cancelled"
    details = (run.get("run_details") or {}).get("task_details") or ()
    message = (run.get("error") or {}).get("message") or ""
    return EngineState(phase, message, _steps(details))


def _steps(details: Any) -> tuple[Step, ...]:
    ordered = sorted(details, key=lambda each: each.get("end_time") or "9")
    parents = {each.get("parent_task_id") for each in details if each.get("state") == "FAILED"}
    return tuple(
        Step(
            name=each.get("display_name") or each.get("task_id") or "",
            phase=_PHASES.get(each.get("state") or "PENDING", "running"),
            message=(each.get("error") or {}).get("message") or "",
            pod=each.get("pod_name") or None,
        )
        for each in ordered
        # What failed only because something inside it did says nothing.
        if each.get("task_id") not in parents
    )


def _client(endpoint: str | None) -> Any:
    try:
        import kfp
        from kfp.client import KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH
        from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials
        from kfp_server_api import V2beta1GetHealthzResponse
    except ImportError as error:
        raise InputError(f"KFP needs its client ({error}): pip install kfp") from None

    class Client(kfp.Client):  # type: ignore[misc]
        def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
            """Nothing is asked while the client is made: it would wait for half a minute."""
            del sleep_duration
            return V2beta1GetHealthzResponse(multi_user=False)

    named = os.environ.get(ENDPOINT_VARIABLE) or os.environ.get("KF_PIPELINES_ENDPOINT")
    host = named or endpoint or _found_endpoint()
    token = os.environ.get(TOKEN_VARIABLE)
    token_path = Path(os.environ.get(KF_PIPELINES_SA_TOKEN_ENV) or KF_PIPELINES_SA_TOKEN_PATH)
    is_in_pod = not token and token_path.is_file()
    options: Object = {
        "namespace": os.environ.get(NAMESPACE_VARIABLE) or "kubeflow",
        "existing_token": token or None,
        "credentials": ServiceAccountTokenVolumeCredentials() if is_in_pod else None,
        "cookies": os.environ.get(COOKIES_VARIABLE) or None,
        "ssl_ca_cert": os.environ.get(CA_VARIABLE) or os.environ.get("SSL_CERT_FILE") or None,
    }
    with warnings.catch_warnings():
        # It warns of servers that are years old, and of what it makes of a host without a scheme.
        warnings.simplefilter("ignore")
        client = Client(host=host, **options)
    if host is None:
        _keep_host(_configuration(client))
    return client


def _configuration(client: Any) -> Any:
    return client.runs.run_service_get_run.__self__.api_client.configuration


def _keep_host(configuration: Any) -> None:
    """Keep the way through the cluster's API server.

    The kubeconfig's loader, asked for the token, would set the host to the API server itself, and
    kfp ends it with a slash too many.
    """
    host, refresh = configuration.host.rstrip("/"), configuration.refresh_api_key_hook
    configuration.host = host
    if refresh is None:
        return

    def keep(changed: Any) -> None:
        refresh(changed)
        changed.host, changed.refresh_api_key_hook = host, keep

    configuration.refresh_api_key_hook = keep


def _found_endpoint() -> str | None:
    """None where kfp finds its way through the cluster by itself."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        namespace = os.environ.get(NAMESPACE_VARIABLE) or "kubeflow"
        return f"http://ml-pipeline.{namespace}.svc.cluster.local:8888"
    path = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    if any(Path(each).is_file() for each in path.split(os.pathsep)):
        # kfp takes a kubeconfig that cannot be read for none, and asks this machine instead.
        connect()
        return None
    raise InputError(
        f"no KFP is known: set {ENDPOINT_VARIABLE} to the URL of its API, such as "
        "http://localhost:8888 behind kubectl -n kubeflow port-forward svc/ml-pipeline 8888, or "
        "KUBECONFIG"
    )


def _named(name: str) -> str:
    predicate = {"operation": _EQUALS, "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def _specification(text: str) -> Object:
    """IR as the API takes it: with what it says to Kubernetes beside it."""
    ir, *platforms = yaml.safe_load_all(text)
    if not platforms:
        return dict(ir)
    return {"pipeline_spec": ir, "platform_spec": platforms[0]}


def _message(error: Any) -> str:
    body = error.body
    if isinstance(body, bytes):
        body = body.decode("utf-8", errors="replace")
    try:
        told = json.loads(body or "{}")
    except ValueError:
        told = {}
    if not isinstance(told, dict):
        told = {}
    text = told.get("error_message") or told.get("message") or told.get("error") or error.reason
    return " ".join(str(text or "no reason given").split())[:400]


def _shortly(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
