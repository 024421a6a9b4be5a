"""The HTTP server: requests in, objects out, watches streamed. What they mean is for an ``Api``."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

Object = dict[str, Any]

_VERBS = {"POST": "create", "DELETE": "delete", "PATCH": "patch"}
PATCH = "application/merge-patch+json"


class Refused(Exception):
    """An answer other than 2xx."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.status = code, status_object(code, reason, message)


def status_object(code: int, reason: str, message: str) -> Object:
    """The body of a refusal."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    method: str
    path: str
    query: dict[str, str]
    body: Object
    token: str

    @property
    def watches(self) -> bool:
        return self.query.get("watch") == "true"

    @property
    def dry(self) -> bool:
        return self.query.get("dryRun") == "All"

    def verb(self, name: str | None) -> str:
        """Kubernetes' word for it, about an object of this name or about all."""
        reading = "watch" if self.watches else "get" if name else "list"
        return _VERBS.get(self.method, reading)

    def options(self) -> Object:
        """How to delete; as the API server does: a body makes it ignore the query's options."""
        return self.body or self.query


class Api(Protocol):
    """What is behind the server."""

    skew: timedelta

    def handle(self, request: Request, connection: Connection) -> None:
        """Answer; raises ``Refused``."""
        ...


class Connection(BaseHTTPRequestHandler):
    """One client: what it asks, and the ways to answer."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True
    api: Api

    def do_GET(self) -> None:
        self._request("GET")

    def do_POST(self) -> None:
        self._request("POST")

    def do_PATCH(self) -> None:
        assert self.headers["Content-Type"] == PATCH
        self._request("PATCH")

    def do_DELETE(self) -> None:
        self._request("DELETE")

    def _request(self, method: str) -> None:
        url = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        request = Request(method, url.path, dict(parse_qsl(url.query)), body, token)
        try:
            self.api.handle(request, self)
        except Refused as error:
            self.reply(error.code, error.status)

    def reply(
        self,
        code: int,
        found: Any,
        headers: Sequence[tuple[str, str]] = (),
        torn: bool = False,
    ) -> None:
        """Answer with an object, or with text; torn: with half of it."""
        text = isinstance(found, str)
        data = (found if text else json.dumps(found)).encode()
        kind = "text/plain" if text else "application/json"
        self.send_response(code)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            *headers,
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if torn else data)
        if torn:
            self.hang_up()

    def start_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def stream(self, events: Iterator[Object]) -> None:
        """The lines of a watch."""
        self.start_stream()
        # Whoever watches may be killed.
        with suppress(ConnectionError):
            for event in events:
                line = json.dumps(event).encode() + b"\n"
                # As networks do: lines do not end where packets end.
                self.chunk(line[:50])
                self.chunk(line[50:])
            self.chunk(b"")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def hang_up(self) -> None:
        self.close_connection = True

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(datetime.now(timezone.utc) + self.api.skew, usegmt=True)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve(api: Api) -> Iterator[str]:
    """Be at work on a port of this machine; gives the URL."""
    handler = type("Handler", (Connection,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_kubeconfig(path: Path, url: str, token: str) -> Path:
    """A kubeconfig for the bearer of a token."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": {"server": url}}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "user"}}],
    }
    path.write_text(json.dumps(config))
    return path
