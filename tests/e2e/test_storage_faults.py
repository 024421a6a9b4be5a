"""A search whose storage misbehaves ends with the right archive, or with a line that helps."""

from __future__ import annotations

import re
import subprocess
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
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
    Fault,
    Plan,
    Refusal,
    Rule,
    make_difficult,
    name_of,
)
from rgw_server import RgwServer, missing_rgw, serve_rgw
from s3_server import BUCKET, S3Server
from small_search import objects
from stepwise import StepFailedError, Stepwise, StoppedClock, is_whole

from evoptim.training import meter

Objects = dict[str, bytes]
Server = S3Server | RgwServer

ODDS = {Fault.DELAY: 0.05, CONFLICT: 0.5}
"""Chances by fault, where they are not one in five."""
LASTING: dict[Fault | Refusal, tuple[int, str]] = {
    Fault.DROPPED: (1, r"must answer: .*, tried 5 times; check AWS_ENDPOINT_URL_S3"),
    Fault.LOST_ANSWER: (1, r"must answer: .*, tried 5 times; check AWS_ENDPOINT_URL_S3"),
    Fault.RESET: (1, r"must answer: .*, tried 5 times; check AWS_ENDPOINT_URL_S3"),
    BROKEN: (1, r"must do what it is asked, got .*, tried 5 times; look at the server's state"),
    SLOW_DOWN: (1, r"must do what it is asked, got .*, tried 5 times; look at the server's state"),
    SKEWED: (1, r"must agree on the time, got .*; set the clock of this machine"),
    OVER_QUOTA: (1, r"needs free space, got .*; free some and run the same command again"),
    FULL: (1, r"needs free space, got .*; free some and run the same command again"),
    DENIED: (2, r"must let these credentials list, read and write, got .*; grant s3:ListBucket"),
    NO_BUCKET: (2, r"must exist, got .*; create the bucket or correct its name"),
}
"""What never passes: the exit code, and what is said of the bucket."""


def pairs(faults: Iterable[Fault | Refusal]) -> list[tuple[str, Fault | Refusal]]:
    """Servers with faults; a refusal comes from the proxy, whatever server is behind it."""
    real = [("Ceph", fault) for fault in faults if isinstance(fault, Fault)]
    return [("moto", fault) for fault in faults] + real


def test_a_mixture_of_faults_changes_nothing(fire: Fire) -> None:
    plan = mixture(seed=4)
    fire.search_to_the_end(plan)
    assert len(plan.met) > 8, "most kinds of faults must have happened"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_other_mixtures_change_nothing(fire: Fire, seed: int) -> None:
    plan = mixture(seed)
    fire.search_to_the_end(plan)
    assert len(plan.met) > 4, "many kinds of faults must have happened"


@pytest.mark.slow
@pytest.mark.parametrize(("server", "fault"), pairs(PASSING), indirect=["server"], ids=name_of)
def test_a_fault_that_passes_changes_nothing(fire: Fire, fault: Fault | Refusal) -> None:
    plan = Plan(Rule(fault, chance=ODDS.get(fault, 0.2)), seed=1)
    fire.search_to_the_end(plan)
    assert plan.met[fault.value] > 2, "the fault must have happened"


@pytest.mark.slow
@pytest.mark.parametrize(("server", "fault"), pairs(LASTING), indirect=["server"], ids=name_of)
def test_a_fault_that_stays_is_named_and_costs_nothing_but_time(
    fire: Fire, fault: Fault | Refusal
) -> None:
    # Each at another step of the search.
    after = 4 * list(LASTING).index(fault)
    fire.search_twice(Rule(fault, "PUT|GET" if fault.methods == ".*" else None, after=after))


@dataclass
class Fire:
    """A server behind a proxy, and what must be in its store in the end."""

    server: Server
    url: str
    folder: Path
    wanted: Objects

    def search_to_the_end(self, plan: Plan) -> None:
        """Every step under the plan's faults, and again when it ended with a clear error."""
        with self.watched(), self.behind(plan):
            steps = Stepwise(self.url, self.folder, tries=5)
            steps.search()
        for failed in steps.failed:
            check_error(failed, 1, "(must|needs) .*; ")
        self.check_archive()

    def search_twice(self, rule: Rule) -> None:
        """Every step until a fault ends the search, and from the start without it."""
        with self.watched():
            with self.behind(Plan(rule)):
                steps = Stepwise(self.url, self.folder)
                with pytest.raises(StepFailedError):
                    steps.search()
            (failed,) = steps.failed
            check_error(failed, *LASTING[rule.fault])
            with self.without_faults():
                Stepwise(self.url, self.folder).search()
        self.check_archive()

    def check_archive(self) -> None:
        found = self.read()
        assert sorted(found) == sorted(self.wanted)
        assert [key for key in found if found[key] != self.wanted[key]] == []

    def read(self) -> Objects:
        with self.without_faults():
            return dict(objects(self.url))

    @contextmanager
    def behind(self, plan: Plan) -> Iterator[None]:
        with make_difficult(self.server.endpoint, plan) as endpoint, self.at(endpoint):
            yield

    def without_faults(self) -> Any:
        return self.at(self.server.endpoint)

    @contextmanager
    def at(self, endpoint: str) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.server.environment().items():
                patch.setenv(name, value)
            patch.setenv("AWS_ENDPOINT_URL", endpoint)
            yield

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Meanwhile read everything again and again: all must be whole, and never change."""
        client, prefix = self.server.client(), self.url.removeprefix(f"s3://{BUCKET}/")
        seen: Objects = {}
        wrong: list[str] = []
        end = threading.Event()

        def sweep() -> None:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
            for key in [item["Key"] for page in pages for item in page.get("Contents", ())]:
                data = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
                if seen.setdefault(key, data) != data:
                    wrong.append(f"{key} changed")
                if not is_whole(key, data):
                    wrong.append(f"{key} is torn: {data[-80:]!r}")

        def watch() -> None:
            while not end.is_set():
                sweep()
                end.wait(0.1)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            end.set()
            watcher.join()
        sweep()
        assert not wrong
        assert seen


def mixture(seed: int) -> Plan:
    """Every fault now and then: about one request in five meets one."""
    rules = [Rule(fault, chance=ODDS.get(fault, 0.2) / 10) for fault in PASSING]
    return Plan(*rules, seed=seed)


def check_error(failed: subprocess.CompletedProcess[str], code: int, told: str) -> None:
    """One line that says where, what and what to do, and the exit code for it."""
    where = rf"the S3 bucket '{BUCKET}' at http://127\.0\.0\.1:\d+"
    last = failed.stderr.splitlines()[-1]
    assert re.match(rf"error: {where} {told}", last), failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.returncode == code


@pytest.fixture(scope="module", params=["moto", pytest.param("Ceph", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue({"moto": "s3_server", "Ceph": "ceph"}[request.param])


@pytest.fixture(scope="module")
def ceph() -> Iterator[RgwServer]:
    if reason := missing_rgw():
        pytest.skip(reason)
    with serve_rgw() as running:
        running.create_bucket()
        yield running


@pytest.fixture(scope="module", autouse=True)
def exact() -> Iterator[None]:
    """Seconds that evaluations took are all that two searches differ in: no time passes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "time", StoppedClock)
        # Every step has its own client, which would read botocore's large files again.
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="module")
def wanted(exact: None, tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """What a search writes to a folder in which nothing goes wrong."""
    folder = tmp_path_factory.mktemp("wanted")
    Stepwise(str(folder / "store"), folder).search()
    return dict(objects(folder / "store"))


@pytest.fixture
def fire(server: Server, wanted: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fire:
    # Pauses between tries are looked at where stores are tested.
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return Fire(server, f"s3://{BUCKET}/{uuid.uuid4().hex}", tmp_path, wanted)
