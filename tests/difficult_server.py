"""A real S3 server seen through a proxy that misbehaves, by a plan, as servers and networks do.

::

    plan = Plan(Rule(Fault.LOST_ANSWER, times=1), Rule(SLOW_DOWN, chance=0.2), seed=7)
    with make_difficult(server.endpoint, plan) as endpoint:
        ...  # boto3 through AWS_ENDPOINT_URL=endpoint
    assert plan.met["lost answer"] == 1

Of a plan's rules the first that fits a request spoils it; all others pass as they are. The same
seed and the same requests in the same order give the same faults.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import urlsplit

DELAY = 0.1
"""Seconds that a delayed request waits."""
_PIECES = 12
_PAUSE = 0.005


class Fault(Enum):
    """What can become of a request on its way; the value reads well in a test's name."""

    DELAY = "delay"
    """It reaches the server late."""
    DROPPED = "dropped request"
    """The connection ends before the server hears of it."""
    LOST_ANSWER = "lost answer"
    """The server does what it is asked, and the connection ends."""
    TORN = "torn content"
    """The answer breaks off, short of its Content-Length."""
    SHORT = "short content"
    """Half the answer comes, under a Content-Length that agrees."""
    EMPTY = "empty content"
    """The answer comes without its content, under a Content-Length that agrees."""
    RESET = "reset upload"
    """Both sides see the connection reset when half of the upload has passed."""
    TRICKLE = "trickle"
    """The answer comes a few bytes at a time."""
    UNCONDITIONAL = "unconditional"
    """The server does not see that the write was a conditional one, nor whose it was."""

    @property
    def methods(self) -> str:
        """A regular expression: the requests with which it can be seen."""
        if self in (Fault.TORN, Fault.SHORT, Fault.EMPTY, Fault.TRICKLE):
            return "GET"
        return "PUT" if self in (Fault.RESET, Fault.UNCONDITIONAL) else ".*"


@dataclass(frozen=True)
class Refusal:
    """An answer that the server itself never gave."""

    status: int
    code: str
    methods: str = ".*"
    """A regular expression: the requests to which it can be an answer."""

    @property
    def value(self) -> str:
        return f"{self.status} {self.code}"

    @property
    def content(self) -> bytes:
        return f"<Error><Code>{self.code}</Code><Message>try again</Message></Error>".encode()


BROKEN = Refusal(500, "InternalError")
SLOW_DOWN = Refusal(503, "SlowDown")
THROTTLED = Refusal(429, "TooManyRequests")
CONFLICT = Refusal(409, "ConditionalRequestConflict", "PUT")
DENIED = Refusal(403, "AccessDenied")
SKEWED = Refusal(403, "RequestTimeTooSkewed")
OVER_QUOTA = Refusal(403, "QuotaExceeded", "PUT")
FULL = Refusal(507, "InsufficientStorage", "PUT")
EXPIRED = Refusal(400, "ExpiredToken")
NO_BUCKET = Refusal(404, "NoSuchBucket")

PASSING = (
    *(fault for fault in Fault if fault is not Fault.UNCONDITIONAL),
    *(BROKEN, SLOW_DOWN, THROTTLED, CONFLICT),
)
"""What is over after a moment, and must not be noticed by whoever uses a store."""


def name_of(value: object) -> str | None:
    """A fault in the name of a test."""
    return value.value.replace(" ", "-") if isinstance(value, Fault | Refusal) else None


@dataclass(frozen=True)
class Rule:
    """Which requests a fault meets."""

    fault: Fault | Refusal
    methods: str | None = None
    """A regular expression; by default the fault's own."""
    path: str = ""
    """A regular expression to be found in the path with its query."""
    after: int = 0
    """Requests that fit and pass before the first that does not."""
    times: int | None = None
    """How often at most; None for ever."""
    chance: float = 1.0

    def fits(self, method: str, path: str) -> bool:
        methods = self.methods or self.fault.methods
        return bool(re.fullmatch(methods, method) and re.search(self.path, path))


@dataclass(frozen=True)
class Request:
    """What a client asked, as far as tests look at it."""

    method: str
    target: str
    headers: Mapping[str, str]


class Plan:
    """Decides for every request what becomes of it, and keeps and counts them."""

    def __init__(self, *rules: Rule, seed: int = 0) -> None:
        self.seen: list[Request] = []
        self.requests: Counter[str] = Counter()
        """By method."""
        self.met: Counter[str] = Counter()
        """By the fault's value."""
        self._rules = rules
        self._seen: Counter[Rule] = Counter()
        self._spoiled: Counter[Rule] = Counter()
        self._random = Random(seed)
        self._lock = threading.Lock()

    def choose(self, method: str, path: str) -> Fault | Refusal | None:
        with self._lock:
            self.requests[method] += 1
            for rule in self._rules:
                if rule.fits(method, path) and self._strikes(rule):
                    self._spoiled[rule] += 1
                    self.met[rule.fault.value] += 1
                    return rule.fault
            return None

    def _strikes(self, rule: Rule) -> bool:
        self._seen[rule] += 1
        spent = rule.times is not None and self._spoiled[rule] >= rule.times
        early = self._seen[rule] <= rule.after
        return not spent and not early and self._random.random() < rule.chance


@contextmanager
def make_difficult(endpoint: str, plan: Plan, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The endpoint of a proxy before the server at this endpoint; of HTTPS with ``tls``."""
    target = urlsplit(endpoint)
    # Tests may make time.sleep short: that is for the client's pauses.
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def spoil(self) -> None:
            plan.seen.append(Request(self.command, self.path, self.headers))
            fault = plan.choose(self.command, self.path)
            if fault is Fault.RESET:
                self.reset_midway()
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if isinstance(fault, Refusal):
                self.reply(fault.status, [("Content-Type", "application/xml")], fault.content)
                return
            if fault is Fault.DROPPED:
                self.close_connection = True
                return
            if fault is Fault.DELAY:
                closing.wait(DELAY)
            try:
                status, headers, content = self.pass_on(body, fault)
            except OSError:
                # The server is gone, and so is then this end of the line.
                self.close_connection = True
                return
            if fault is Fault.LOST_ANSWER:
                self.close_connection = True
                return
            self.reply(status, headers, content, fault)

        def pass_on(
            self, body: bytes, fault: Fault | None
        ) -> tuple[int, list[tuple[str, str]], bytes]:
            hidden = {"expect", "connection"}
            if fault is Fault.UNCONDITIONAL:
                # The signature covers the condition, and would be refused without it.
                hidden |= {"if-none-match", "authorization"}
            headers = {k: v for k, v in self.headers.items() if k.lower() not in hidden}
            connection = http.client.HTTPConnection(target.netloc)
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                connection.close()

        def reset_midway(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            half = self.rfile.read(size // 2)
            del self.headers["Expect"]
            lines = [f"{name}: {value}" for name, value in self.headers.items()]
            head = "\r\n".join([self.requestline, *lines, "", ""])
            with socket.create_connection((target.hostname, target.port)) as server:
                server.sendall(head.encode("latin-1") + half)
                # What was sent must be read before the reset throws it away.
                closing.wait(_PAUSE)
                _let_close_reset(server)
            _let_close_reset(self.connection)
            self.close_connection = True

        def reply(
            self,
            status: int,
            headers: list[tuple[str, str]],
            content: bytes,
            fault: Fault | None = None,
        ) -> None:
            half = content[: len(content) // 2]
            if fault in (Fault.SHORT, Fault.EMPTY):
                content = half if fault is Fault.SHORT else b""
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if fault is Fault.TORN:
                self.close_connection = True
                content = half
            if self.command == "HEAD":
                return
            for piece in _pieces(content) if fault is Fault.TRICKLE else [content]:
                self.wfile.write(piece)
                if fault is Fault.TRICKLE:
                    closing.wait(_PAUSE)

        do_GET = do_PUT = do_HEAD = do_DELETE = spoil

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            # A client that waits no longer is no fault of the proxy's.
            with suppress(ConnectionError):
                super().handle()

        def finish(self) -> None:
            # A reset leaves nothing to flush to.
            with suppress(OSError):
                super().finish()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _pieces(content: bytes) -> list[bytes]:
    size = max(1, len(content) // _PIECES)
    return [content[start : start + size] for start in range(0, len(content), size)]


def _let_close_reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
