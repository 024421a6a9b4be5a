"""Tasks of a local run in containers: what Docker is told, and how the engine is made to tell the
truth about what became of them.
"""

import codecs
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from evoptim.container_image import DEFAULT_IMAGE
from evoptim.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from docker import DockerClient
    from kfp import local

_LABEL = "evoptim.dev/local-run"
_LOGGER = logging.getLogger(__name__)

# The image's own. Whoever is root here must not be root there, whatever image was named.
_NOT_ROOT = "65532:0"
_KILLED = 128 + signal.SIGKILL

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
# boto3 reads these files; the values are where it looks unless it is told otherwise.
_SETTINGS_FILES: Mapping[str, str | None] = MappingProxyType(
    {
        "AWS_CONFIG_FILE": "~/.aws/config",
        "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
        "AWS_WEB_IDENTITY_TOKEN_FILE": None,
        "AWS_CA_BUNDLE": None,
        "REQUESTS_CA_BUNDLE": None,
    }
)


@dataclass(frozen=True)
class Containers:
    """Run every task in a container of its own, as a cluster does.

    A container has no capabilities, cannot gain rights, is not root, and may write to its own
    ``/tmp`` and to the paths that it is given, nothing else.
    """

    image: str = DEFAULT_IMAGE
    network: str | None = None
    """Docker network; None for no network where the store is a folder, else Docker's default."""
    gpus: bool = False
    """Whether containers get this machine's NVIDIA GPUs."""


@dataclass(frozen=True)
class Sandbox:
    """All that the containers of one run may see of this machine; plain values, to be sent."""

    image: str
    network: str
    gpus: bool
    environment: dict[str, str]
    readable: tuple[str, ...]
    """Files and folders, found in the container at the same path."""
    writable: tuple[str, ...]
    """Folders, found in the container at the same path."""


def make_sandbox(
    containers: Containers, *, readable: Iterable[Path], writable: Iterable[Path], networked: bool
) -> Sandbox:
    """Settle what the containers of one run may use: this, and boto3's settings.

    Args:
        containers: what was asked for.
        readable: files and folders that tasks read.
        writable: folders that tasks write.
        networked: whether tasks need a network.

    Raises:
        InputError: root asks for a writable folder, or a store is on this machine's loopback
            device, where no container finds it.
    """
    folders = tuple(map(str, writable))
    network = containers.network or ("bridge" if networked else "none")
    if folders and _is_root():
        raise InputError(
            f"containers do not run as root, so that they cannot write {folders[0]}: search as "
            "another user, or let the store be s3://bucket/prefix"
        )
    if networked and network != "host":
        _check_endpoint()
    settings = _settings_files()
    boto = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
    return Sandbox(
        image=containers.image,
        network=network,
        gpus=containers.gpus,
        environment={**boto, **settings},
        readable=tuple(dict.fromkeys([*map(str, readable), *settings.values()])),
        writable=folders,
    )


def check_engine(containers: Containers) -> None:
    """Make sure, before anything is computed, that the engine, the image and the network are there.

    Raises:
        InputError: one of them is missing; the message says what to do.
    """
    client = _connect()
    try:
        _find_network(client, containers.network)
        _find_image(client, containers.image)
    finally:
        client.close()


def kfp_runner(sandbox: Sandbox, name: str) -> "local.DockerRunner":
    """The runner of ``kfp.local`` that runs tasks in this sandbox and knows what became of them.

    Args:
        sandbox: what the containers may use.
        name: marks the containers of this run, for :func:`remove_containers`.
    """
    from kfp import local
    from kfp.local import docker_task_handler

    # kfp 2.17 lets Docker remove a container that has ended, and when it is gone before kfp asks
    # for its exit code, takes that for success.
    docker_task_handler.run_docker_container = run_container
    return local.DockerRunner(**run_arguments(sandbox, name))


def run_arguments(sandbox: Sandbox, name: str) -> dict[str, Any]:
    """What ``docker run`` is told for every container of a run, in docker-py's words."""
    from docker.types import DeviceRequest, Mount

    mounts = [
        Mount(target=path, source=path, type="bind", read_only=path not in sandbox.writable)
        for path in (*sandbox.readable, *sandbox.writable)
    ]
    gpus = [DeviceRequest(count=-1, capabilities=[["gpu"]])] if sandbox.gpus else []
    return {
        # A task's command is whole, and the image's own entry point is evoptim.
        "entrypoint": [""],
        "user": _NOT_ROOT if _is_root() else f"{os.getuid()}:{os.getgid()}",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "network": sandbox.network,
        "environment": sandbox.environment,
        "mounts": mounts,
        "device_requests": gpus,
        "labels": {_LABEL: name},
    }


def run_container(
    client: "DockerClient",
    image: str,
    command: list[str],
    volumes: dict[str, Any],
    **arguments: Any,
) -> int:
    """Run a command in a new container to its end, print what it says, return its exit code.

    Takes the place of kfp's function of the same purpose. Whatever happens, the container is gone
    afterwards; one that disappears on the way has failed.
    """
    from docker.errors import NotFound

    container = client.containers.run(
        image=image, command=command, volumes=volumes, detach=True, **arguments
    )
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    try:
        for chunk in container.logs(stream=True):
            print(decoder.decode(chunk), end="")
        status = int(container.wait()["StatusCode"])
        container.remove(force=True)
    except NotFound:
        status = _KILLED
    if status == _KILLED:
        # As a shell says it of a process; of a container nobody says anything.
        print("Killed")
    return status


def remove_containers(name: str) -> None:
    """Remove what still runs of a run, whose engine can no longer do it.

    Raises:
        InfrastructureError: Docker does not answer.
    """
    from docker.errors import DockerException, NotFound

    client = _connect()
    try:
        for container in client.containers.list(all=True, filters={"label": f"{_LABEL}={name}"}):
            try:
                container.remove(force=True)
            except NotFound:
                continue
    except DockerException as error:
        raise InfrastructureError(
            f"containers may still run, because Docker does not answer ({error}): see 'docker ps "
            f"--filter label={_LABEL}={name}'"
        ) from error
    finally:
        client.close()


def _connect() -> "DockerClient":
    try:
        import docker
    except ModuleNotFoundError:
        raise InputError(
            "containers need the package docker, which is not installed: run "
            "'pip install evoptim[docker]', or choose --runner subprocess"
        ) from None
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        where = os.environ.get("DOCKER_HOST", "its usual socket")
        raise InputError(
            f"no Docker engine answers at {where} ({error}): start one, or choose "
            "--runner subprocess"
        ) from error
    return client


def _find_network(client: "DockerClient", network: str | None) -> None:
    from docker.errors import DockerException, NotFound

    try:
        if network is not None:
            client.networks.get(network)
    except NotFound:
        raise InputError(
            f"Docker has no network {network!r}: create it with 'docker network create "
            f"{network}', or leave --network out"
        ) from None
    except DockerException as error:
        raise InfrastructureError(f"Docker does not answer as it should: {error}") from error


def _find_image(client: "DockerClient", image: str) -> None:
    from docker.errors import DockerException, ImageNotFound

    try:
        client.images.get(image)
    except ImageNotFound:
        _LOGGER.warning("the image %s is not here: pulling it", image)
    else:
        return
    try:
        client.images.pull(image)
    except DockerException as error:
        raise InputError(
            f"the image {image!r} is not here and cannot be pulled ({error}): build it with "
            "'make images', or name another with --image"
        ) from error


def _is_root() -> bool:
    return os.getuid() == 0


def _check_endpoint() -> None:
    variable = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if variable is None:
        return
    host = urlsplit(os.environ[variable]).hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        raise InputError(
            f"{variable} is {os.environ[variable]}, which inside a container is the container "
            "itself: give an address that others reach, or --network host"
        )


def _settings_files() -> dict[str, str]:
    """Files that boto3 reads here, by the variable that tells it of them there."""
    found: dict[str, str] = {}
    for variable, usual in _SETTINGS_FILES.items():
        path = os.environ.get(variable) or usual
        if path is not None and Path(path).expanduser().is_file():
            found[variable] = str(Path(path).expanduser().absolute())
    return found


if __name__ == "__main__":
    remove_containers(sys.argv[1])
