"""What every store promises, whatever lies under it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import backends
import pytest
import store_process
from backends import PAGE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from s3_server import BUCKET
from store_process import text_of

from evoptim.errors import EvoptimError, InputError
from evoptim.store import MissingObjectError, Store, check_key, check_writable, open_store
from evoptim.store.base import MAX_KEY_LENGTH, MAX_SEGMENT_LENGTH, PROBE_KEY, is_key

SEGMENTS = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True)
KEYS = st.lists(SEGMENTS, min_size=1, max_size=6).map("/".join)
# Few examples because each costs requests; the store may be shared as every example has own keys.
ON_A_STORE = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

BAD_KEYS = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a b",
    "a\\b",
    "a\n",
    "a\0",
    "é",
    "~a",
    "a" * (MAX_SEGMENT_LENGTH + 1),
    "a/" * (MAX_KEY_LENGTH // 2) + "a",
]


class TestPut:
    def test_what_was_put_comes_back(self, store: Store) -> None:
        assert store.put("a/b/c.json", b"one")
        assert store.get("a/b/c.json") == b"one"
        assert store.exists("a/b/c.json")

    def test_a_second_put_changes_nothing_and_says_so(self, store: Store) -> None:
        assert store.put("a", b"first")
        assert not store.put("a", b"second, longer")
        assert not store.put("a", b"first")
        assert store.get("a") == b"first"

    def test_another_store_at_the_same_url_sees_it(self, store: Store) -> None:
        store.put("a", b"one")
        other = open_store(store.url)
        assert other.url == store.url
        assert other.get("a") == b"one"
        assert not other.put("a", b"two")

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\0",
            bytes(range(256)),
            "naïve ∇f — 優化器 \U0001f680\r\n".encode(),
            b"\r\n\r\n",
            os.urandom(10 * 2**20),
        ],
        ids=["empty", "nul", "every byte", "unicode", "line ends", "10 MiB"],
    )
    def test_content_is_kept_byte_for_byte(self, store: Store, data: bytes) -> None:
        assert store.put("data", data)
        assert store.get("data") == data

    @ON_A_STORE
    @given(key=KEYS, data=st.binary(max_size=200))
    def test_any_key_holds_any_content(self, store: Store, key: str, data: bytes) -> None:
        key = f"{uuid.uuid4().hex}/{key}"
        assert not store.exists(key)
        assert store.put(key, data)
        assert store.get(key) == data
        assert list(store.list(key)) == [key]


@pytest.mark.parametrize("store", backends.EXCLUSIVE, indirect=True)
class TestRaces:
    def test_of_sixteen_threads_one_writes_and_its_content_stays(self, store: Store) -> None:
        for place in range(8):
            wrote = race_of_threads(store, f"race/{place}", [text_of(n, 0) for n in range(16)])
            assert len(wrote) == 1
            assert store.get(f"race/{place}") == text_of(wrote[0], 0)

    def test_of_sixteen_processes_one_writes_and_its_content_stays(self, store: Store) -> None:
        wrote = race_of_processes(store, writers=16, keys=6)
        for place, winners in enumerate(wrote):
            assert len(winners) == 1
            assert store.get(f"race/{place}") == text_of(winners[0], place)


@pytest.mark.parametrize("store", backends.INCLUSIVE, indirect=True)
class TestRacesWhereConditionsAreIgnored:
    def test_of_sixteen_threads_one_has_the_last_word(self, store: Store) -> None:
        for place in range(8):
            wrote = race_of_threads(store, f"race/{place}", [text_of(n, 0) for n in range(16)])
            assert store.get(f"race/{place}") in [text_of(writer, 0) for writer in wrote]
            assert not store.put(f"race/{place}", b"late")

    def test_of_sixteen_processes_one_has_the_last_word(self, store: Store) -> None:
        wrote = race_of_processes(store, writers=16, keys=6)
        for place, winners in enumerate(wrote):
            assert store.get(f"race/{place}") in [text_of(each, place) for each in winners]

    def test_what_all_write_alike_never_changes(self, store: Store) -> None:
        key, data, done = "same", text_of(0, 0) * 100, threading.Event()

        def read() -> set[bytes]:
            found = set()
            while not done.is_set():
                if store.exists(key):
                    found.add(store.get(key))
            return found

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read)
            try:
                assert race_of_threads(store, key, [data] * 16)
                assert store.get(key) == data
            finally:
                done.set()
            assert reading.result() <= {data}

    def test_the_user_is_told_before_a_run_which_server_it_is_and_what_that_means(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert not check_writable(store)
        (warning,) = caplog.records
        assert warning.levelname == "WARNING"
        assert warning.message == (
            f"the S3 bucket '{BUCKET}' at {os.environ['AWS_ENDPOINT_URL']} ignores "
            "conditional writes (If-None-Match), which lets two writers overwrite each other: "
            "every object stays whole, but let only one search at a time write a run"
        )


class TestReading:
    def test_a_reader_sees_all_of_an_object_or_nothing(self, store: Store) -> None:
        key, data, done = "big", b"x" * 2**20, threading.Event()

        def read() -> set[int]:
            sizes = set()
            while not done.is_set():
                if store.exists(key):
                    sizes.add(len(store.get(key)))
            return sizes

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read)
            try:
                store.put(key, data)
                store.get(key)
            finally:
                done.set()
            assert reading.result() <= {len(data)}


def race_of_threads(store: Store, key: str, contents: list[bytes]) -> list[int]:
    """Who says that it wrote, when all begin at once."""
    start = threading.Barrier(len(contents))

    def put(writer: int) -> bool:
        start.wait()
        return store.put(key, contents[writer])

    with ThreadPoolExecutor(len(contents)) as pool:
        wrote = list(pool.map(put, range(len(contents))))
    return [writer for writer, did in enumerate(wrote) if did]


def race_of_processes(store: Store, writers: int, keys: int) -> list[list[int]]:
    """Who says that it wrote ``race/PLACE``, for every place."""
    done = subprocess.run(
        [
            sys.executable,
            store_process.__file__,
            "race",
            store.url,
            "race",
            f"{writers}",
            f"{keys}",
        ],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    wrote: list[list[int]] = json.loads(done.stdout)
    assert len(wrote) == keys
    return wrote


class TestMissing:
    def test_an_object_that_is_not_there(self, store: Store) -> None:
        store.put("there", b"")
        assert not store.exists("nowhere/at-all")
        with pytest.raises(MissingObjectError) as caught:
            store.get("nowhere/at-all")
        assert isinstance(caught.value, KeyError)
        assert isinstance(caught.value, EvoptimError)
        assert str(caught.value) == f"the store {store.url} holds no object nowhere/at-all"

    def test_what_keys_start_with_is_no_object(self, store: Store) -> None:
        store.put("a/b/c", b"")
        assert not store.exists("a/b")
        with pytest.raises(MissingObjectError):
            store.get("a/b")

    def test_nothing_lies_below_an_object(self, store: Store) -> None:
        store.put("a", b"")
        assert not store.exists("a/b")
        with pytest.raises(MissingObjectError):
            store.get("a/b")

    def test_its_error_crosses_process_borders(self) -> None:
        error = pickle.loads(pickle.dumps(MissingObjectError("a", "somewhere")))
        assert str(error) == "the store somewhere holds no object a"


class TestList:
    def test_an_empty_store_lists_nothing(self, store: Store) -> None:
        assert list(store.list()) == []
        assert list(store.list("runs/first/")) == []

    def test_keys_come_at_any_depth_in_order_of_their_characters(self, store: Store) -> None:
        keys = ["a-b/x", "a.json", "a/B", "a/b", "a/b.c/d/e", "a0", "ab/c", "b", "b.d/a", "b1/a"]
        for key in reversed(keys):
            store.put(key, b"")
        assert list(store.list()) == sorted(keys)

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("runs/a/", ["runs/a/1", "runs/a/b/2"]),
            ("runs/a", ["runs/a/1", "runs/a/b/2", "runs/ab/3"]),
            ("runs/a/b/2", ["runs/a/b/2"]),
            ("runs/a/b/2/", []),
            ("other/", []),
        ],
    )
    def test_a_prefix_is_text_not_a_folder(
        self, store: Store, prefix: str, expected: list[str]
    ) -> None:
        for key in ("runs/a/1", "runs/a/b/2", "runs/ab/3", "x"):
            store.put(key, b"")
        assert list(store.list(prefix)) == expected

    def test_more_keys_than_a_server_gives_at_once(self, store: Store) -> None:
        keys = [f"many/{number:05d}.json" for number in range(2 * PAGE + 3)]
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda key: store.put(key, b"{}"), keys))
        assert list(store.list("many/")) == keys

    @pytest.mark.parametrize("prefix", ["/", "/a", "a//", "a/../", "a b", "~"])
    def test_a_prefix_that_no_key_has_is_refused(self, store: Store, prefix: str) -> None:
        with pytest.raises(InputError, match="must be the beginning of a store key"):
            store.list(prefix)


class TestKeys:
    @pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
    def test_a_bad_key_is_refused_by_every_verb(self, store: Store, key: str) -> None:
        for verb in (
            lambda: store.put(key, b""),
            lambda: store.get(key),
            lambda: store.exists(key),
        ):
            with pytest.raises(InputError, match="a store key must be") as caught:
                verb()
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 400
        assert list(store.list()) == []

    @given(key=KEYS)
    def test_a_good_key_is_returned_as_it_is(self, key: str) -> None:
        assert check_key(key) == key

    @given(text=st.text(alphabet=st.sampled_from("ab./~ \0\né-_"), max_size=12) | st.text())
    def test_no_accepted_key_leaves_the_folder(self, text: str) -> None:
        if is_key(text):
            root = Path("/store")
            path = Path(os.path.normpath(root / text))
            assert path.is_relative_to(root)
            assert path != root
            assert str(path.relative_to(root)) == text

    def test_the_longest_keys_work(self, store: Store) -> None:
        key = "/".join(["k" * MAX_SEGMENT_LENGTH, "k" * MAX_SEGMENT_LENGTH, "k" * 98])
        assert len(key) == MAX_KEY_LENGTH
        assert store.put(key, b"far")
        assert store.get(key) == b"far"


@pytest.mark.parametrize("store", backends.EXCLUSIVE, indirect=True)
class TestCheckWritable:
    def test_a_good_store_passes_again_and_again(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert check_writable(store)
        assert check_writable(open_store(store.url))
        assert list(store.list()) == [PROBE_KEY]
        assert not caplog.records

    def test_many_may_check_at_once(self, store: Store) -> None:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: check_writable(store), range(8)))

    def test_a_store_that_holds_something_else_there_is_refused(self, store: Store) -> None:
        store.put(PROBE_KEY, b"something else")
        with pytest.raises(InputError, match=r"must give back what was written.*\.evoptim/probe"):
            check_writable(store)


class TestOpen:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            " ",
            "gs://bucket/x",
            "https://host/x",
            "file:///tmp/x",
            "s3:/bucket",
            "S3://b",
            "a\0b",
        ],
    )
    def test_a_url_of_no_store_is_refused(self, url: str) -> None:
        with pytest.raises(InputError, match="must be s3://bucket/prefix or the path of a folder"):
            open_store(url)
