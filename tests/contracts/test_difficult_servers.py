"""Servers and networks that misbehave: what was written comes back whole, or an error says why."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest
import store_process
from difficult_server import (
    BROKEN,
    CONFLICT,
    DENIED,
    FULL,
    NO_BUCKET,
    OVER_QUOTA,
    PASSING,
    SKEWED,
    SLOW_DOWN,
    THROTTLED,
    Fault,
    Plan,
    Refusal,
    Rule,
    make_difficult,
    name_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from s3_server import BUCKET, S3Server

from evoptim.errors import EvoptimError, InfrastructureError, InputError
from evoptim.store import MissingObjectError, Store, check_writable, open_store, s3_client
from evoptim.store.base import PROBE_KEY
from evoptim.store.s3_client import ATTEMPTS

CONTENT = b"x" * 10_000
Difficult = Callable[..., Store]
Direct = Callable[..., Store]


class TestFaultsThatPass:
    @pytest.mark.parametrize("fault", PASSING, ids=name_of)
    def test_every_verb_does_what_it_would_have_done(
        self, difficult: Difficult, fault: Fault | Refusal
    ) -> None:
        plan = Plan(Rule(fault, times=2))
        store = difficult(plan)
        store.put("a", CONTENT)
        assert store.get("a") == CONTENT
        assert list(store.list()) == ["a"]
        assert store.exists("a")
        assert not store.exists("b")
        with pytest.raises(MissingObjectError):
            store.get("b")
        assert plan.met[fault.value] == 2, "the fault must have happened"

    @pytest.mark.parametrize("fault", [Fault.TORN, Fault.SHORT, Fault.EMPTY], ids=name_of)
    def test_half_a_listing_is_none(self, difficult: Difficult, fault: Fault) -> None:
        plan = Plan(Rule(fault, path="list-type=2", times=2))
        store = difficult(plan)
        for number in range(20):
            store.put(f"a/{number:02d}", b"1")
        assert len(list(store.list("a/"))) == 20
        assert plan.met[fault.value] == 2

    def test_a_conflict_is_tried_again(self, difficult: Difficult) -> None:
        plan = Plan(Rule(CONFLICT, times=3))
        store = difficult(plan)
        assert store.put("a", b"1")
        assert store.get("a") == b"1"
        assert plan.requests["PUT"] == 4

    def test_a_put_whose_answer_is_lost_is_there_all_the_same(self, difficult: Difficult) -> None:
        plan = Plan(Rule(Fault.LOST_ANSWER, "PUT", times=1))
        store = difficult(plan)
        # The repeated request finds the object of the first: see Store.put on what False means.
        assert not store.put("a", b"1")
        assert store.get("a") == b"1"
        assert plan.requests["PUT"] == 2

    def test_a_server_that_is_silent_is_asked_again(
        self, difficult: Difficult, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3_client, "READ_TIMEOUT", 0.05)
        plan = Plan(Rule(Fault.DELAY, "GET", times=1))
        store = difficult(plan)
        store.put("a", b"1")
        assert store.get("a") == b"1"
        assert plan.requests["GET"] == 2


class TestFaultsThatStay:
    @pytest.mark.parametrize(
        ("fault", "kind", "told"),
        [
            (Fault.DROPPED, InfrastructureError, f"must answer: .*, tried {ATTEMPTS} times"),
            (Fault.LOST_ANSWER, InfrastructureError, f"must answer: .*, tried {ATTEMPTS} times"),
            (Fault.RESET, InfrastructureError, f"must answer: .*, tried {ATTEMPTS} times"),
            (
                BROKEN,
                InfrastructureError,
                f"must do what .* got InternalError: .*, tried {ATTEMPTS} times",
            ),
            (
                SLOW_DOWN,
                InfrastructureError,
                f"must do what .* got SlowDown: .*, tried {ATTEMPTS} times",
            ),
            (
                THROTTLED,
                InfrastructureError,
                f"must do what .* got TooManyRequests: .*, tried {ATTEMPTS} times",
            ),
            (
                CONFLICT,
                InfrastructureError,
                "must do what .* got ConditionalRequestConflict: .*, tried 6 times",
            ),
            (SKEWED, InfrastructureError, "must agree on the time.*; set the clock"),
            (OVER_QUOTA, InfrastructureError, "needs free space.*; free some"),
            (FULL, InfrastructureError, "needs free space.*; free some"),
            (DENIED, InputError, "must let these credentials.*; grant s3:ListBucket"),
            (NO_BUCKET, InputError, "must exist.*; create the bucket"),
        ],
        ids=name_of,
    )
    def test_writing_ends_with_one_line_and_succeeds_afterwards(
        self,
        difficult: Difficult,
        direct: Direct,
        fault: Fault | Refusal,
        kind: type[EvoptimError],
        told: str,
    ) -> None:
        store = difficult(Plan(Rule(fault, "PUT")))
        with pytest.raises(kind) as caught:
            store.put("a", CONTENT)
        assert re.fullmatch(rf"the S3 bucket '.*' at http://127\S+ {told}.*", str(caught.value))
        plain = direct()
        plain.put("a", CONTENT)
        assert plain.get("a") == CONTENT

    @pytest.mark.parametrize("fault", [Fault.TORN, Fault.SHORT, Fault.EMPTY], ids=name_of)
    def test_half_the_content_is_never_taken_for_all(
        self, difficult: Difficult, fault: Fault
    ) -> None:
        store = difficult(Plan(Rule(fault)))
        store.put("a", CONTENT)
        told = r"must give back what was written: .*/a came back broken: .*, tried 6 times; check"
        with pytest.raises(InfrastructureError, match=told):
            store.get("a")

    @pytest.mark.parametrize("fault", [Fault.TORN, Fault.SHORT, Fault.EMPTY], ids=name_of)
    def test_half_a_listing_is_never_taken_for_all(
        self, difficult: Difficult, fault: Fault
    ) -> None:
        store = difficult(Plan(Rule(fault)))
        store.put("a", b"1")
        with pytest.raises(InfrastructureError, match=r"the S3 bucket .*, tried \d times; "):
            store.list()

    def test_an_upload_that_is_reset_midway_leaves_nothing(
        self, difficult: Difficult, direct: Direct
    ) -> None:
        store = difficult(Plan(Rule(Fault.RESET)))
        with pytest.raises(InfrastructureError):
            store.put("a", CONTENT)
        plain = direct()
        assert not plain.exists("a")
        assert list(plain.list()) == []

    def test_a_server_that_ignores_conditions_is_noticed(self, difficult: Difficult) -> None:
        store = difficult(Plan(Rule(Fault.UNCONDITIONAL)))
        assert not check_writable(store)
        assert store.put("a", b"first")
        assert not store.put("a", b"second")
        assert store.get("a") == b"first"


class TestRetries:
    @pytest.mark.parametrize(
        ("fault", "verb"),
        [
            (Fault.DROPPED, "PUT"),
            (Fault.LOST_ANSWER, "PUT"),
            (SLOW_DOWN, "GET"),
            (Fault.TORN, "GET"),
            (CONFLICT, "PUT"),
        ],
        ids=name_of,
    )
    def test_they_are_bounded_with_growing_random_pauses(
        self,
        difficult: Difficult,
        direct: Direct,
        pauses: list[float],
        fault: Fault | Refusal,
        verb: str,
    ) -> None:
        direct().put(PROBE_KEY, b"1")
        found = []
        for number in range(3):
            plan = Plan(Rule(fault, verb))
            store = difficult(plan)
            pauses.clear()
            with pytest.raises(InfrastructureError):
                store.put(f"a/{number}", b"1") if verb == "PUT" else store.get(PROBE_KEY)
            assert plan.requests[verb] in (ATTEMPTS, 6)
            assert len(pauses) == plan.requests[verb] - 1
            assert sum(pauses) < 60.0
            found.append(list(pauses))
        assert len({pause for each in found for pause in each}) == sum(map(len, found))
        late, early = (sum(each[place] for each in found) for place in (-1, 0))
        assert late > early

    def test_a_silent_server_is_not_asked_more_often_than_others(
        self, difficult: Difficult, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3_client, "READ_TIMEOUT", 0.02)
        plan = Plan(Rule(Fault.DELAY, "GET"))
        store = difficult(plan)
        with pytest.raises(InfrastructureError, match=f"Read timeout.*, tried {ATTEMPTS} times"):
            store.get(PROBE_KEY)
        assert plan.requests["GET"] == ATTEMPTS


@dataclass(frozen=True)
class Step:
    verb: str
    key: str


steps = st.builds(Step, st.sampled_from(["put", "get", "exists", "list"]), st.sampled_from("abc"))
rules = st.builds(
    Rule,
    st.sampled_from(PASSING[1:]),
    after=st.integers(0, 3),
    times=st.none() | st.integers(1, 8),
    chance=st.sampled_from([0.2, 0.5, 1.0]),
)


class TestAnyPlan:
    @settings(
        max_examples=10,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.lists(rules, min_size=1, max_size=4), st.lists(steps, max_size=8), st.integers(0))
    def test_an_answer_is_right_whatever_goes_wrong_before_it(
        self,
        difficult: Difficult,
        direct: Direct,
        rules: list[Rule],
        steps: list[Step],
        seed: int,
    ) -> None:
        url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
        store, plain = difficult(Plan(*rules, seed=seed), url), direct(url)
        surely, perhaps = set[str](), set[str]()
        for step in steps:
            # What ends with an error may have been done all the same, but never by halves.
            with suppress(InfrastructureError, InputError):
                if step.verb == "put":
                    perhaps.add(step.key)
                    store.put(step.key, step.key.encode() * 1000)
                    surely.add(step.key)
                elif step.verb == "list":
                    assert surely <= set(store.list()) <= perhaps
                elif step.verb == "exists":
                    assert store.exists(step.key) or step.key not in surely
                else:
                    assert content(store, step.key) in contents(step.key, surely, perhaps)
        for key in "abc":
            assert content(plain, key) in contents(key, surely, perhaps)


def content(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key)
    except MissingObjectError:
        return None


def contents(key: str, surely: set[str], perhaps: set[str]) -> set[bytes | None]:
    """What a key may hold, given what has certainly and what has perhaps been written."""
    whole = {key.encode() * 1000} if key in perhaps else set[bytes]()
    return {*whole, *([] if key in surely else [None])}


def test_kill_9_in_the_middle_of_an_upload_leaves_whole_objects_or_none(
    s3_url: str, direct: Direct
) -> None:
    size, store = 2_000_000, direct()
    process = subprocess.Popen(
        [sys.executable, store_process.__file__, "pour", s3_url, str(size)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout
    process.stdout.readline()
    moment = threading.Event()
    while not store.exists("pour/00000001"):
        moment.wait(0.02)
    process.kill()
    process.communicate()
    for key in store.list():
        assert store.get(key) == store_process.content_of(key, size)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds for which the client has paused between its tries, without doing so."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.fixture
def direct(s3_url: str, s3_server: S3Server) -> Direct:
    """The same store without the proxy."""

    def direct(url: str = s3_url) -> Store:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
            return open_store(url)

    return direct


@pytest.fixture
def difficult(
    s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Difficult]:
    """Put a misbehaving proxy before the server; gives the store behind it."""
    with ExitStack() as stack:

        def difficult(plan: Plan, url: str = s3_url) -> Store:
            endpoint = stack.enter_context(make_difficult(s3_server.endpoint, plan))
            monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
            return open_store(url)

        yield difficult
