"""What Docker is told of the containers of a local search; a real engine runs them in e2e/."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from evoptim.errors import InputError
from pipelines.containers import Containers, check_engine, make_sandbox, run_arguments


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of whoever runs the tests, and a home without any."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name == "REQUESTS_CA_BUNDLE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def user(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: number)
    monkeypatch.setattr(os, "getgid", lambda: number)


def sandbox(containers: Containers = Containers(), *, networked: bool = True, **paths):  # noqa: B008
    given = {"readable": [], "writable": [], **paths}
    return make_sandbox(containers, networked=networked, **given)


def test_containers_have_no_rights() -> None:
    told = run_arguments(sandbox(), "name")
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges"]
    assert list(told["tmpfs"]) == ["/tmp"]
    assert told["device_requests"] == []
    assert not {"privileged", "cap_add", "devices", "pid_mode", "ipc_mode"} & told.keys()


@pytest.mark.parametrize(("number", "expected"), [(1000, "1000:1000"), (0, "65532:0")])
def test_containers_run_as_the_caller_but_never_as_root(
    monkeypatch: pytest.MonkeyPatch, number: int, expected: str
) -> None:
    user(number, monkeypatch)
    assert run_arguments(sandbox(), "name")["user"] == expected


def test_a_folder_needs_no_network_and_is_all_that_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user(1000, monkeypatch)
    seen = sandbox(networked=False, readable=[Path("/data")], writable=[Path("/store")])
    told = run_arguments(seen, "name")
    assert told["network"] == "none"
    assert {each["Target"]: each["ReadOnly"] for each in told["mounts"]} == {
        "/data": True,
        "/store": False,
    }


def test_root_cannot_search_into_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    user(0, monkeypatch)
    with pytest.raises(InputError, match=r"do not run as root.* cannot write /store: .*s3://"):
        sandbox(networked=False, writable=[Path("/store")])


def test_a_bucket_is_reached_by_the_named_network_with_the_callers_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("UNRELATED_SECRET", "secret")
    told = run_arguments(sandbox(Containers(network="private", gpus=True)), "name")
    assert told["network"] == "private"
    assert told["environment"] == {"AWS_ACCESS_KEY_ID": "key"}
    assert told["device_requests"][0]["Capabilities"] == [["gpu"]]
    assert run_arguments(sandbox(), "name")["network"] == "bridge"


def test_boto3s_files_are_found_at_their_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = tmp_path / "home" / ".aws" / "credentials"
    usual.parent.mkdir(parents=True)
    usual.write_text("[default]")
    own = tmp_path / "ca.pem"
    own.write_text("certificates")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(own))
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    seen = sandbox()
    assert seen.readable == (str(usual), str(own))
    assert seen.environment == {
        "AWS_CA_BUNDLE": str(own),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": str(usual),
    }


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_store_on_the_loopback_device_is_refused_but_on_the_hosts_network(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:9000")
    with pytest.raises(InputError, match=r"AWS_ENDPOINT_URL is http://.*--network host"):
        sandbox()
    assert sandbox(Containers(network="host")).network == "host"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://store.example:9000")
    assert sandbox().network == "bridge"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_an_engine_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(InputError, match=r"no Docker engine answers at unix://") as caught:
        check_engine(Containers())
    assert "--runner subprocess" in str(caught.value)
    # docker-py forgets to close a socket that it could not connect; here, where that is excused.
    del caught
    gc.collect()
