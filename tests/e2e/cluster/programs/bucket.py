"""A bucket in memory: the part of S3 that evoptim's store uses, for clusters that have none.

A tool of the tests. It needs nothing but Python, so that the worker's own image can run it, and
lets anybody in: what keeps others out is the network policy around it.
"""

import hashlib
import threading
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

PORT = 8333
PAGE = 1000
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class Bucket:
    """Objects by key; of racing conditional writes one wins."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def put(self, key: str, data: bytes, only_if_absent: bool) -> bool:
        with self.lock:
            if only_if_absent and key in self.objects:
                return False
            self.objects[key] = data
            return True

    def get(self, key: str) -> "bytes | None":
        with self.lock:
            return self.objects.get(key)

    def remove(self, key: str) -> None:
        with self.lock:
            self.objects.pop(key, None)

    def keys(self, prefix: str, after: str) -> "list[tuple[str, int]]":
        with self.lock:
            found = [(key, len(data)) for key, data in self.objects.items()]
        return sorted(each for each in found if each[0].startswith(prefix) and each[0] > after)


class Handler(BaseHTTPRequestHandler):
    """One connection; buckets exist as soon as somebody names them."""

    protocol_version = "HTTP/1.1"
    buckets: "dict[str, Bucket]" = {}
    page = PAGE
    lock = threading.Lock()

    def parts(self) -> "tuple[Bucket, str, dict[str, str]]":
        url = urlsplit(self.path)
        name, _, key = unquote(url.path).lstrip("/").partition("/")
        with self.lock:
            bucket = self.buckets.setdefault(name, Bucket())
        query = parse_qs(url.query, keep_blank_values=True)
        return bucket, key, {name: values[0] for name, values in query.items()}

    def do_PUT(self) -> None:
        bucket, key, _ = self.parts()
        size = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(size)
        if len(data) < size:
            # It broke off: half an object is none.
            self.close_connection = True
            return
        if not key:
            self.answer(200)
        elif "Transfer-Encoding" in self.headers or "x-amz-copy-source" in self.headers:
            self.refuse(501, "NotImplemented")
        elif hashlib.sha256(data).hexdigest() != self.headers.get("x-amz-content-sha256"):
            self.refuse(400, "XAmzContentSHA256Mismatch")
        elif bucket.put(key, data, self.headers.get("If-None-Match") == "*"):
            self.answer(200, headers={"ETag": etag(data)})
        else:
            self.refuse(412, "PreconditionFailed")

    def do_GET(self) -> None:
        bucket, key, query = self.parts()
        if not key:
            self.answer(200, listing(bucket, query, self.page), {"Content-Type": "application/xml"})
            return
        data = bucket.get(key)
        if data is None:
            self.refuse(404, "NoSuchKey")
        else:
            self.answer(200, data, {"ETag": etag(data), "Content-Type": "binary/octet-stream"})

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        bucket, key, _ = self.parts()
        bucket.remove(key)
        self.answer(204)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.refuse(501, "NotImplemented")

    def refuse(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self.answer(status, body.encode(), {"Content-Type": "application/xml"})

    def answer(
        self, status: int, body: bytes = b"", headers: "dict[str, str] | None" = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("x-amz-request-id", uuid.uuid4().hex)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def etag(data: bytes) -> str:
    """What S3 calls an object's content."""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def listing(bucket: Bucket, query: "dict[str, str]", page_size: int) -> bytes:
    """One page of ListObjectsV2; the token of the next is the last key of this one."""
    prefix = query.get("prefix", "")
    most = min(int(query.get("max-keys", page_size)), page_size)
    found = bucket.keys(prefix, query.get("continuation-token") or query.get("start-after", ""))
    page, more = found[:most], len(found) > most
    encode = quote if query.get("encoding-type") == "url" else escape
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    rows = "".join(
        f"<Contents><Key>{encode(key)}</Key><LastModified>{now}</LastModified>"
        f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key, size in page
    )
    token = f"<NextContinuationToken>{escape(page[-1][0])}</NextContinuationToken>" if more else ""
    encoding = "<EncodingType>url</EncodingType>" if encode is quote else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="{NAMESPACE}">'
        f"<Prefix>{encode(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
        f"<MaxKeys>{most}</MaxKeys>{encoding}<IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{token}{rows}</ListBucketResult>"
    ).encode()


def serve(port: int, address: str = "", page: int = PAGE) -> ThreadingHTTPServer:
    """A server with buckets of its own, listed by so many keys; the caller lets it serve."""
    own = {"buckets": {}, "page": page, "lock": threading.Lock()}
    handler = type("Handler", (Handler,), own)
    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer((address, port), handler)
    server.daemon_threads = True
    return server


if __name__ == "__main__":
    serve(PORT).serve_forever()
