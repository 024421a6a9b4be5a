"""An HTTP server that speaks the part of KFP's v2beta1 API that ``kfp.Client`` calls for us.

It parses what is submitted with KFP's own protocol buffers, tells installations for one user from
those that users share as the real one does, and misbehaves on demand. Nothing is run: tests say
what became of a run.
"""

from __future__ import annotations

import copy
import json
import re
import ssl
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from cryptography.x509.oid import NameOID
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

Object = dict[str, Any]

_RUN = re.compile(r"/apis/v2beta1/runs/(?P<id>[^/:]+)(?P<verb>:terminate)?")


class FakeKfp:
    """The state of the installation."""

    def __init__(self) -> None:
        self.shared = False
        self.token: str | None = None
        self.runs: dict[str, Object] = {}
        self.experiments: dict[str, Object] = {}
        self.faults: deque[str] = deque()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.page: str | None = None
        self.lose_next_answer = False
        self.url = ""

    # For tests

    def end(self, identity: str, state: str, **more: Any) -> None:
        """Put a run into a state."""
        run = self.runs[identity]
        run.update(more, state=state)
        run.setdefault("state_history", []).append({"state": state})

    def only_run(self) -> Object:
        (run,) = self.runs.values()
        return run

    def seen(self, method: str, part: str) -> int:
        return sum(method == each[0] and part in each[1] for each in self.requests)

    # For the server

    def answer(self, method: str, path: str, query: dict[str, str], body: Object) -> Any:
        if path == "/apis/v2beta1/healthz":
            return 200, {"multi_user": self.shared}
        if path == "/apis/v2beta1/experiments":
            return self._experiments(method, query, body)
        if path == "/apis/v2beta1/runs":
            return self._create(body) if method == "POST" else self._list(query)
        found = _RUN.fullmatch(path)
        if found is None:
            return refusal(404, f"no such path {path}")
        run = self.runs.get(found["id"])
        if run is None:
            return refusal(404, f"Run {found['id']} not found")
        if found["verb"]:
            return self._terminate(run)
        return 200, copy.deepcopy(run)

    def _scope(self, query: dict[str, str]) -> tuple[int, Object] | None:
        # As the real one: the one wants a namespace, the other wants none.
        if self.shared and not query.get("namespace"):
            return refusal(400, "Invalid input error: a namespace is needed in multi-user mode")
        if not self.shared and query.get("namespace"):
            return refusal(400, "In single-user mode, a request cannot filter by namespace")
        return None

    def _experiments(self, method: str, query: dict[str, str], body: Object) -> tuple[int, Object]:
        if method == "POST":
            if bool(body.get("namespace")) != self.shared:
                return refusal(400, "the namespace of the experiment is wrong")
            made = {**body, "experiment_id": str(uuid.uuid4())}
            self.experiments[made["experiment_id"]] = made
            return 200, made
        if (refused := self._scope(query)) is not None:
            return refused
        found = [each for each in self.experiments.values() if named(each, query)]
        return 200, {"experiments": found} if found else {}

    def _list(self, query: dict[str, str]) -> tuple[int, Object]:
        if (refused := self._scope(query)) is not None:
            return refused
        found = [copy.deepcopy(each) for each in self.runs.values() if named(each, query)]
        return 200, {"runs": found} if found else {}

    def _create(self, body: Object) -> tuple[int, Object]:
        if body.get("experiment_id") not in self.experiments:
            return refusal(404, "Experiment not found")
        given = body["pipeline_spec"]
        try:
            json_format.ParseDict(
                given.get("pipeline_spec", given), pipeline_spec_pb2.PipelineSpec()
            )
            json_format.ParseDict(given.get("platform_spec", {}), pipeline_spec_pb2.PlatformSpec())
        except json_format.ParseError as error:
            return refusal(400, f"Invalid input error: {error}")
        run = {**copy.deepcopy(body), "run_id": str(uuid.uuid4()), "state": "PENDING"}
        self.runs[run["run_id"]] = run
        return 200, copy.deepcopy(run)

    def _terminate(self, run: Object) -> tuple[int, Object]:
        if run["state"] not in ("PENDING", "RUNNING"):
            return refusal(400, f"Failed to terminate run: it is {run['state']}")
        self.end(run["run_id"], "CANCELING")
        return 200, {}


def named(found: Object, query: dict[str, str]) -> bool:
    """Whether an object is what a filter asks for."""
    for each in json.loads(query.get("filter") or "{}").get("predicates", ()):
        assert each["operation"] in ("EQUALS", 1), each
        if found.get(each["key"]) != each["stringValue"]:
            return False
    return True


def refusal(code: int, message: str) -> tuple[int, Object]:
    return code, {"error": message, "code": 3, "message": message, "details": []}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True
    kfp: FakeKfp

    def do_GET(self) -> None:
        self.handle_request("GET")

    def do_POST(self) -> None:
        self.handle_request("POST")

    def handle_request(self, method: str) -> None:
        url = urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size) or b"{}")
        self.kfp.requests.append((method, url.path, dict(parse_qsl(url.query))))
        if self.kfp.page is not None:
            self.reply(200, self.kfp.page.encode(), "text/html")
            return
        if self.kfp.faults:
            fault = self.kfp.faults.popleft()
            if fault == "reset":
                self.close_connection = True
                return
            self.reply_json(*refusal(int(fault), "the server is told to fail"))
            return
        token = self.kfp.token
        if token is not None and self.headers.get("Authorization") != f"Bearer {token}":
            self.reply_json(*refusal(401, "Unauthenticated: the token has expired"))
            return
        code, found = self.kfp.answer(method, url.path, dict(parse_qsl(url.query)), body)
        if method == "POST" and self.kfp.lose_next_answer:
            self.kfp.lose_next_answer = False
            self.close_connection = True
            return
        self.reply_json(code, found)

    def reply_json(self, code: int, found: Object) -> None:
        self.reply(code, json.dumps(found).encode(), "application/json")

    def reply(self, code: int, data: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle(self) -> None:
        # A client that does not trust us hangs up in the middle.
        with suppress(OSError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def make_certificate(folder: Path) -> Path:
    """A certificate for this machine that nobody signed but itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "kfp.pem"
    secret = key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    return path


@contextmanager
def fake_kfp(certificate: Path | None = None) -> Iterator[FakeKfp]:
    """An installation, at work on a port of this machine; with a certificate, over TLS."""
    kfp = FakeKfp()
    handler = type("Handler", (_Handler,), {"kfp": kfp})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # The handshake in the thread of its own request: a client that hangs up stops nobody.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        scheme = "https"
    kfp.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield kfp
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
