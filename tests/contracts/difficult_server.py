"""A real S3 server seen through a proxy that misbehaves as servers and networks do."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>try again</Message></Error>"


@dataclass
class Mischief:
    """How many more times each thing goes wrong."""

    ignores_conditions: bool = False
    conflicts: int = 0
    lost_answers: int = 0
    torn_bodies: int = 0
    requests: Counter[str] = field(default_factory=Counter)


@contextmanager
def make_difficult(endpoint: str, mischief: Mischief) -> Iterator[str]:
    """The endpoint of a proxy before the server at this endpoint."""
    target = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            mischief.requests[self.command] += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.command == "PUT" and mischief.conflicts:
                mischief.conflicts -= 1
                self.reply(409, [("Content-Type", "application/xml")], CONFLICT)
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() not in self.dropped()}
            connection = http.client.HTTPConnection(target)
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            if self.command == "PUT" and mischief.lost_answers:
                mischief.lost_answers -= 1
                self.close_connection = True
                return
            self.reply(answer.status, answer.getheaders(), content)

        def dropped(self) -> set[str]:
            conditions = {"if-none-match"} if mischief.ignores_conditions else set()
            return {"expect", "connection"} | conditions

        def reply(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET" and mischief.torn_bodies:
                mischief.torn_bodies -= 1
                self.close_connection = True
                content = content[: len(content) // 2]
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = forward

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
