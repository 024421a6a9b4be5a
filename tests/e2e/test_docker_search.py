"""The image, and a whole search in containers of it, on a real Docker engine and a real S3 server.

The engine, the image and the server are started once. Containers share a network on which nothing
but the server's port can be reached. The tests that end containers come before the one that looks
at the finished run, whose store they leave behind.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker_engine import DockerEngine, PrivateNetwork, missing_docker, serve_docker
from rgw_server import RgwServer, missing_rgw, serve_rgw
from s3_server import BUCKET
from small_search import Finished, arguments, command, here, lines, records

from evoptim.store import open_store

pytestmark = pytest.mark.slow

IMAGE = "evoptim:test"
# As a cluster with the strictest Pod Security runs it, under a user that no image knows.
HARDENED = (
    *("--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--user", "1000660000:0"),
    *("--security-opt", "no-new-privileges"),
)
# Reserved for documentation: nobody is there.
ELSEWHERE = "203.0.113.1"


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    for reason in (missing_docker(), missing_rgw()):
        if reason:
            pytest.skip(reason)
    with serve_docker() as running:
        running.build_worker(IMAGE)
        yield running


@pytest.fixture(scope="module")
def network(engine: DockerEngine) -> Iterator[PrivateNetwork]:
    with engine.private_network("evoptim-test") as created:
        yield created


@pytest.fixture(scope="module")
def server(network: PrivateNetwork) -> Iterator[RgwServer]:
    """Where containers of the network find it, and this machine too."""
    with serve_rgw(network.address) as running:
        running.create_bucket()
        with network.opened(int(running.endpoint.rpartition(":")[2])):
            yield running


@dataclass(frozen=True)
class Searches:
    """Starts searches in containers."""

    engine: DockerEngine
    environment: dict[str, str]
    network: str
    folder: Path

    def start(
        self, *settings: str, run: str = "small", image: str = IMAGE
    ) -> subprocess.Popen[str]:
        words = ("--runner", "docker", "--image", image, "--network", self.network)
        return subprocess.Popen(
            command(*arguments(*settings, run=run), *words),
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def containers(self) -> list[str]:
        return lines(self.engine.docker("ps", "--all", "--quiet", "--no-trunc").stdout)

    def one_that_runs(self, words: str, search: subprocess.Popen[str]) -> str:
        """Wait for a container whose command has these words; the id."""
        while search.poll() is None:
            for found in self.containers():
                seen = self.engine.docker("inspect", found, check=False)
                if words in seen.stdout and '"Running": true' in seen.stdout:
                    return found
            time.sleep(0.2)
        raise AssertionError(f"it ended before any: {search.communicate()}")


@pytest.fixture
def searches(
    engine: DockerEngine,
    server: RgwServer,
    network: PrivateNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Searches:
    environment = {**server.environment(), **engine.environment()}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Searches(
        engine, {**environment, "EVOPTIM_STORE": f"s3://{BUCKET}/docker"}, network.name, tmp_path
    )


def without_versions(found: dict[str, Any]) -> dict[str, Any]:
    """Records without what they tell of the Python that made them: an image has its own."""
    return {
        name: {key: value[key] for key in value.keys() - {"versions"}}
        if "evaluations/" in name
        else value
        for name, value in found.items()
    }


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what must come; the limit only keeps a failing test from hanging."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_the_image_says_what_it_is_and_is_not_root(engine: DockerEngine) -> None:
    config = engine.inspect(IMAGE)["Config"]
    user, group = config["User"].split(":")
    assert int(user) > 0
    assert group == "0"
    assert config["Entrypoint"] == ["evoptim"]
    labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items()}
    assert labels["title"] == "evoptim"
    assert labels["version"] == "0.1.0"
    assert labels["licenses"] == "Apache-2.0"


def test_its_code_is_a_small_layer_on_top_of_its_dependencies(engine: DockerEngine) -> None:
    history = engine.docker("history", "--human=false", "--format", "{{.Size}}", IMAGE).stdout
    code, dependencies, *base = [int(size) for size in history.split() if int(size)]
    assert code < 10_000_000 < dependencies
    assert len(base) == 1


def test_any_user_may_run_it_on_a_read_only_root_without_network(engine: DockerEngine) -> None:
    done = engine.docker("run", *HARDENED, "--network", "none", IMAGE, "health")
    assert "torch 2." in done.stdout
    assert "temporary folder /tmp can be written" in done.stdout


def test_its_health_command_fails_where_the_store_does_not_answer(engine: DockerEngine) -> None:
    words = ("--network", "none", "--env", "AWS_ENDPOINT_URL=http://127.0.0.1:9", "--env")
    keys = ("AWS_ACCESS_KEY_ID=a", "--env", "AWS_SECRET_ACCESS_KEY=b", "--env", "AWS_REGION=x")
    store = ("--env", "AWS_MAX_ATTEMPTS=1", "--env", "EVOPTIM_STORE=s3://bucket/prefix")
    done = engine.docker("run", *HARDENED, *words, *keys, *store, IMAGE, "health", check=False)
    assert done.returncode == 1
    (line,) = lines(done.stderr)
    assert line.startswith("error: ")
    assert "http://127.0.0.1:9" in line


def test_nothing_in_it_gives_rights_or_installs(engine: DockerEngine) -> None:
    """What a container writes goes to its own /tmp; python has no pip."""
    script = "python3 -m pip --version; touch x /opt/evoptim/x /x; touch /tmp/x && echo fine"
    shell = ("--network", "none", "--entrypoint", "sh", IMAGE, "-c", script)
    done = engine.docker("run", *HARDENED, *shell)
    assert "No module named pip" in done.stderr
    assert done.stderr.count("Read-only file system") == 3
    assert done.stdout == "fine\n"
    # Group 0, and with it any user that OpenShift invents, may write the working folder else.
    free = ("run", "--rm", "--user", "1000660000:0", "--network", "none", "--entrypoint", "touch")
    assert engine.docker(*free, IMAGE, "x").returncode == 0


CONNECT = """
import socket, sys
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        print("reached")
    except OSError as error:
        print("unreachable")
"""


def test_containers_reach_the_store_and_nothing_else(
    engine: DockerEngine, network: PrivateNetwork, server: RgwServer
) -> None:
    with socket.create_server((network.address, 0)) as listener:
        closed = f"{network.address}:{listener.getsockname()[1]}"
        # It does listen: it is the container that does not get there.
        socket.create_connection(listener.getsockname(), timeout=5).close()
        places = [server.endpoint.removeprefix("http://"), closed, f"{ELSEWHERE}:443"]
        shell = ("--network", network.name, "--entrypoint", "python3", IMAGE, "-c", CONNECT)
        done = engine.docker("run", *HARDENED, *shell, *places)
    assert lines(done.stdout) == ["reached", "unreachable", "unreachable"]


def test_a_killed_container_ends_the_search_and_names_its_task(searches: Searches) -> None:
    search = searches.start()
    victim = searches.one_that_runs("steps.evaluate(", search)
    seen = searches.engine.inspect(victim)
    searches.engine.docker("kill", victim)
    out, err = search.communicate(timeout=300)
    assert search.returncode == 1, (out, err)
    assert out == ""
    line = lines(err)[-1]
    assert re.match(
        r"error: Task 'generation \d, candidate-chunks \d, train candidates' failed: "
        r"killed by a signal, perhaps for lack of memory \(log: ",
        line,
    ), err
    assert searches.containers() == []
    # What every container of a search is.
    assert seen["Config"]["User"] == "65532:0"
    host = seen["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["NetworkMode"] == searches.network
    assert not host["Privileged"]
    writable = [each["Destination"] for each in seen["Mounts"] if each["RW"]]
    assert len(writable) == 2, "kfp's folders for this run, and no other"


def test_a_killed_search_leaves_no_container(searches: Searches) -> None:
    search = searches.start()
    searches.one_that_runs("steps.", search)
    search.kill()
    search.communicate()
    # Until then the engine may start one more.
    eventually(lambda: searches.containers() == [])


def test_an_interrupted_search_leaves_no_container(searches: Searches) -> None:
    search = searches.start()
    searches.one_that_runs("steps.", search)
    search.send_signal(signal.SIGINT)
    _, err = search.communicate(timeout=60)
    assert search.returncode == 130, err
    assert "Stopped; all workers are down." in err
    assert searches.containers() == []


def test_continued_it_gives_the_same_records_as_processes(
    searches: Searches, finished: Finished
) -> None:
    search = searches.start()
    out, err = search.communicate(timeout=600)
    assert search.returncode == 0, err
    store = searches.environment["EVOPTIM_STORE"]
    assert f"Report: {store}/runs/small/report/index.html" in out
    archive = open_store(store).get("runs/small/report/archive.json")
    assert archive == (finished.run / "report/archive.json").read_bytes()
    assert without_versions(records(store)) == without_versions(records(finished.store))
    assert searches.containers() == []
    assert list(searches.folder.iterdir()) == []


LIAR = """#!/bin/sh
case "$(cat "$4")" in *"steps.report("*) exit 0;; esac
exec /opt/evoptim/bin/python3.true "$@"
"""


def test_a_step_that_only_claims_to_have_worked_is_not_believed(searches: Searches) -> None:
    """Whatever an engine or a container says, a report that is not in the store is not there."""
    searches.engine.derive(
        "evoptim:liar",
        IMAGE,
        "USER 0",
        "RUN mv /opt/evoptim/bin/python3 /opt/evoptim/bin/python3.true",
        "COPY liar /opt/evoptim/bin/python3",
        "RUN chmod 755 /opt/evoptim/bin/python3",
        "USER 65532:0",
        liar=LIAR,
    )
    smallest = ("search.generations=0", "search.initial=2", "baselines=[]")
    search = searches.start(*smallest, run="lied-to", image="evoptim:liar")
    out, err = search.communicate(timeout=300)
    assert search.returncode == 1, (out, err)
    assert "the report of the run 'lied-to' is not in s3://" in lines(err)[-1]
    store = open_store(searches.environment["EVOPTIM_STORE"])
    assert list(store.list("runs/lied-to/report/")) == []
    assert store.exists("runs/lied-to/generations/000/population.json")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--image", "evoptim:none"], "'evoptim:none' is not here and cannot be pulled"),
        (["--network", "nowhere"], "Docker has no network 'nowhere'"),
        (["--store", "folder"], "containers do not run as root"),
    ],
)
def test_what_docker_cannot_do_is_refused_before_anything_is_written(
    searches: Searches, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.setenv("EVOPTIM_STORE", searches.environment["EVOPTIM_STORE"])
    docker = ("--runner", "docker", "--image", IMAGE, *words)
    done = here(*arguments(run="refused"), *docker, cwd=searches.folder)
    assert done.returncode == 2, done.stderr
    assert says in lines(done.stderr)[-1]
    store = open_store(searches.environment["EVOPTIM_STORE"])
    assert list(store.list("runs/refused/")) == []
    assert list(searches.folder.iterdir()) == []
