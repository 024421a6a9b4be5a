"""A store in a bucket of Amazon S3 or of any server that speaks its protocol."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import Any, Final, TypeVar

from botocore import exceptions as boto

from evoptim.errors import EvoptimError, InputError
from evoptim.store.base import (
    PROBE_DATA,
    PROBE_KEY,
    TRIAL_PREFIX,
    MissingObjectError,
    check_key,
    check_prefix,
    is_key,
)
from evoptim.store.s3_client import connect
from evoptim.store.s3_errors import (
    ALREADY_THERE,
    BARE_REFUSALS,
    BROKEN_ANSWERS,
    CONFLICT,
    FAILURES,
    NOT_FOUND,
    BrokenContentError,
    code_of,
    explain,
)

T = TypeVar("T")

_URL: Final = re.compile(r"s3://(?P<bucket>[^/]*)/?(?P<prefix>.*?)/?", re.DOTALL)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_DIGEST: Final = "sha256"
"""Under which name the user metadata of an object hold the digest of its content."""
_TRIES: Final = 6
_LONGEST_PAUSE: Final = 2.0


class S3Store:
    """The S3 backend of :class:`evoptim.store.Store`.

    Transient faults are retried by botocore. A write is one plain PUT under ``If-None-Match: *``,
    never a multipart upload, whose completion some servers let overwrite.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        """Set up the client; nothing is contacted yet.

        Raises:
            InputError: an illegal bucket or prefix, or settings that boto3 refuses.
        """
        self._bucket = _check_bucket(bucket)
        self._root = f"{_check_prefix(prefix)}/" if prefix else ""
        self._where = f"the S3 bucket {bucket!r}"
        try:
            self._client: Any = connect()
        except (*FAILURES, ValueError) as error:
            raise explain(error, self._where) from error
        self._where += f" at {self._client.meta.endpoint_url}"

    @classmethod
    def from_url(cls, url: str) -> S3Store:
        """The store at ``s3://bucket`` or ``s3://bucket/prefix``."""
        match = _URL.fullmatch(url)
        if match is None:
            raise InputError(f"a store on S3 must be s3://bucket/prefix, got {url!r}; correct it")
        return cls(match["bucket"], match["prefix"])

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``, without a slash at its end."""
        return f"s3://{self._bucket}/{self._root}".rstrip("/")

    @property
    def place(self) -> str:
        """See :attr:`evoptim.store.Store.place`."""
        return self._where

    def put(self, key: str, data: bytes) -> bool:
        """See :meth:`evoptim.store.Store.put`."""
        # Some servers ignore the condition: asking first keeps even those write-once, races aside.
        return not self.exists(key) and self._write(key, data)

    def get(self, key: str) -> bytes:
        """See :meth:`evoptim.store.Store.get`."""
        full = self._full(key)

        def read() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=full)
            try:
                data: bytes = answer["Body"].read()
            except BROKEN_ANSWERS as error:
                raise BrokenContentError(key=full, reason=error) from error
            # Not every server knows S3's own checksums; user metadata are kept by all.
            if answer["Metadata"].get(_DIGEST, found := _digest(data)) != found:
                raise BrokenContentError(key=full, reason=f"{len(data)} bytes of another digest")
            return data

        try:
            return _patiently(read, lambda error: isinstance(error, BrokenContentError))
        except FAILURES as error:
            if code_of(error) in NOT_FOUND:
                raise MissingObjectError(key, self.url) from None
            raise self._explain(error) from error

    def exists(self, key: str) -> bool:
        """See :meth:`evoptim.store.Store.exists`."""
        full = self._full(key)
        try:
            self._client.head_object(Bucket=self._bucket, Key=full)
        except FAILURES as error:
            if code_of(error) in NOT_FOUND:
                return False
            reason = self._reason(full, error)
            raise self._explain(reason) from reason
        return True

    def list(self, prefix: str = "") -> Iterator[str]:
        """See :meth:`evoptim.store.Store.list`."""
        full = self._root + check_prefix(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=full
        )

        def read() -> list[str]:
            return [item["Key"] for page in pages for item in _listed(page, full)]

        try:
            found = _patiently(read, lambda error: isinstance(error, BrokenContentError))
        except FAILURES as error:
            raise self._explain(error) from error
        # Not every server lists in the order of characters.
        return iter(sorted(filter(is_key, (key[len(self._root) :] for key in found))))

    def probe(self) -> bool:
        """See :meth:`evoptim.store.Store.probe`; servers that ignore the condition are known."""
        self._write(PROBE_KEY, PROBE_DATA)
        return not self._write(PROBE_KEY, PROBE_DATA)

    def clock(self) -> datetime | None:
        """The server's time, to the second; None where it does not tell. Raises as all verbs."""
        try:
            answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._root, MaxKeys=1)
        except FAILURES as error:
            raise self._explain(error) from error
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return None if told is None else parsedate_to_datetime(told)

    def remove_trial(self, key: str) -> None:
        """Remove an object that was written to see whether it can be; no run's object is one.

        Raises:
            InputError: ``key`` lies outside ``.evoptim/``, or the user may not remove it.
            InfrastructureError: the server fails.
        """
        if not key.startswith(TRIAL_PREFIX):
            raise InputError(f"nothing but {TRIAL_PREFIX}… is removed from a store, got {key!r}")
        full = self._full(key)
        try:
            self._client.delete_object(Bucket=self._bucket, Key=full)
        except FAILURES as error:
            raise self._explain(error) from error

    def _full(self, key: str) -> str:
        return self._root + check_key(key)

    def _write(self, key: str, data: bytes) -> bool:
        full = self._full(key)

        def write() -> None:
            self._client.put_object(
                Bucket=self._bucket,
                Key=full,
                Body=data,
                IfNoneMatch="*",
                Metadata={_DIGEST: _digest(data)},
            )

        try:
            # A conflict says that another write to the key is under way, not how it ended.
            _patiently(write, lambda error: code_of(error) in CONFLICT)
        except FAILURES as error:
            if code_of(error) in ALREADY_THERE:
                return False
            raise self._explain(error) from error
        return True

    def _reason(self, full: str, error: Exception) -> Exception:
        """Why HEAD was refused, of which the answer says nothing but a status: GET tells."""
        if code_of(error) not in BARE_REFUSALS:
            return error
        try:
            self._client.get_object(Bucket=self._bucket, Key=full, Range="bytes=0-0")
        except FAILURES as told:
            return error if code_of(told) in NOT_FOUND else told
        return error

    def _explain(self, error: Exception) -> EvoptimError:
        return explain(error, self._where, self._tries(error))

    def _tries(self, error: Exception) -> int:
        """How often the call was made that ended in this error."""
        if isinstance(error, BrokenContentError) or code_of(error) in CONFLICT:
            return _TRIES
        if isinstance(error, boto.ClientError):
            return 1 + int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))
        return int(self._client.meta.config.retries["total_max_attempts"])


def _listed(page: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
    # An answer that lost its content parses as an empty page, but for this.
    if "IsTruncated" not in page:
        raise BrokenContentError(key=f"the listing of {prefix}*", reason="its end is missing")
    found: list[dict[str, Any]] = page.get("Contents", [])
    return found


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check_bucket(bucket: str) -> str:
    if _BUCKET.fullmatch(bucket):
        return bucket
    raise InputError(
        f"a bucket must be 3 or more letters, digits, '.', '_' and '-', got {bucket!r}; "
        f"give s3://bucket/prefix"
    )


def _check_prefix(prefix: str) -> str:
    if is_key(prefix):
        return prefix
    raise InputError(
        f"the prefix in a bucket must be segments of letters, digits, '.', '_' and '-' joined by "
        f"'/', got {prefix[:80]!r}; give s3://bucket/prefix"
    )


def _patiently(action: Callable[[], T], worth_it: Callable[[Exception], bool]) -> T:
    """Repeat an action with growing, random pauses while its errors are worth it, boundedly."""
    for attempt in range(_TRIES - 1):
        try:
            return action()
        except FAILURES as error:
            if not worth_it(error):
                raise
        # The system's randomness: a search's own generators must not feel a retry.
        time.sleep(SystemRandom().uniform(0.0, min(0.1 * 2**attempt, _LONGEST_PAUSE)))
    return action()
