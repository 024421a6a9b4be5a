"""A real Docker engine for tests, apart from any other one, and the image that searches run in.

It needs root and Debian's ``docker.io``, ``iptables`` and ``debootstrap``; :func:`missing_docker`
says what is not there. No image is pulled: the base is a Debian that debootstrap makes, and on it
the project's own Dockerfile builds the worker's image without a network, from wheels that pip
finds on this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("docker.io", "iptables", "debootstrap")
_PROGRAMS = ("dockerd", "iptables", "debootstrap", "make")
# By its path: a newer client that came from elsewhere may lack its plugin for builds.
_DEBIANS_DOCKER = "/usr/bin/docker"
_ROOT = Path(__file__).resolve().parents[1]
_BASE = "evoptim-test-base"
# A release whose Python is this one's, since the wheels are.
_RELEASES = {(3, 11): "bookworm", (3, 13): "trixie"}
_PATIENCE = 120.0


def missing_docker() -> str | None:
    """Why no engine can be started and no image built here, or None."""
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    if os.getuid() != 0:
        return "needs root, to start a Docker engine"
    if absent or not Path(_DEBIANS_DOCKER).exists():
        return f"needs {', '.join(absent or ['docker'])}: apt-get install {' '.join(PACKAGES)}"
    if sys.version_info[:2] not in _RELEASES:
        return f"knows no Debian release with Python {sys.version_info[0]}.{sys.version_info[1]}"
    return None


@dataclass(frozen=True)
class DockerEngine:
    """An engine that runs."""

    host: str
    """What ``DOCKER_HOST`` must be for its clients."""

    def environment(self) -> dict[str, str]:
        """What a process must find in its environment to use this engine."""
        return {"DOCKER_HOST": self.host}

    def docker(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line of Docker on this engine."""
        done = subprocess.run(
            [_DEBIANS_DOCKER, *words],
            env={**os.environ, **self.environment()},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if check:
            assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
        return done

    def inspect(self, name: str) -> dict[str, Any]:
        (found,) = json.loads(self.docker("inspect", name).stdout)
        return dict(found)

    def build_worker(self, image: str) -> None:
        """Build the project's image on a Debian of our own, as ``make`` does, without a network."""
        with (
            tempfile.TemporaryDirectory(prefix="context-") as name,
            ThreadPoolExecutor() as pool,
        ):
            context = Path(name)
            # One waits for Debian, the other for PyPI.
            base = pool.submit(self._import_base)
            for part in ("components", "evoptim", "images", "pipelines"):
                shutil.copytree(_ROOT / part, context / part)
            for part in ("LICENSE", "Makefile", "README.md", "constraints.txt", "pyproject.toml"):
                shutil.copy(_ROOT / part, context)
            _collect_wheels(context / "build" / "wheels")
            base.result()
            variables = {
                "BASE_IMAGE": _BASE,
                "TORCH_INDEX": "",
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": "/wheels",
            }
            arguments = [f"--build-arg {key}={value}" for key, value in variables.items()]
            done = subprocess.run(
                [
                    *("make", "--silent", "image-cpu", f"DOCKER={_DEBIANS_DOCKER}"),
                    *(f"IMAGE={image}", f"IMAGE_ARGS=--network none {' '.join(arguments)}"),
                ],
                cwd=context,
                env={**os.environ, **self.environment()},
                capture_output=True,
                text=True,
                check=False,
                timeout=900,
            )
        assert done.returncode == 0, done.stderr[-3000:]

    def derive(self, image: str, base: str, *lines: str, **files: str) -> None:
        """Build ``image`` from ``base``: some lines of a Dockerfile, and files beside it."""
        with tempfile.TemporaryDirectory() as name:
            dockerfile = "\n".join([f"FROM {base}", *lines])
            for file, text in {**files, "Dockerfile": dockerfile}.items():
                Path(name, file).write_text(text)
            self.docker("build", "--quiet", "--tag", image, name)

    @contextmanager
    def private_network(self, name: str) -> Iterator[PrivateNetwork]:
        """A network from which nothing can be reached, until a port of this machine is opened."""
        self.docker(
            *("network", "create", "--internal"),
            *("--opt", f"com.docker.network.bridge.name={name}", name),
        )
        address = self.inspect(name)["IPAM"]["Config"][0]["Gateway"]
        network = PrivateNetwork(name, address)
        network.change("-I", "-j", "DROP")
        try:
            yield network
        finally:
            network.change("-D", "-j", "DROP")
            self.docker("network", "rm", name)

    def _import_base(self) -> None:
        release = _RELEASES[sys.version_info[:2]]
        with tempfile.TemporaryDirectory(prefix="base-") as root:
            _run(
                *("debootstrap", "--variant=minbase"),
                *("--include=ca-certificates,python3,python3-venv", release, root),
            )
            # Half of a small Debian is what apt has fetched and knows.
            for part in ("var/cache/apt", "var/lib/apt/lists"):
                shutil.rmtree(Path(root, part))
            with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
                done = subprocess.run(
                    [_DEBIANS_DOCKER, "import", "-", _BASE],
                    stdin=tar.stdout,
                    env={**os.environ, **self.environment()},
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=600,
                )
            assert tar.returncode == 0
            assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class PrivateNetwork:
    """A Docker network, and the address at which its containers may find this machine."""

    name: str
    address: str

    @contextmanager
    def opened(self, port: int) -> Iterator[None]:
        """Let containers reach this port of this machine."""
        rule = ("-p", "tcp", "-d", self.address, "--dport", str(port), "-j", "ACCEPT")
        self.change("-I", *rule)
        try:
            yield
        finally:
            self.change("-D", *rule)

    def change(self, action: str, *rule: str) -> None:
        _run("iptables", "-w", action, "INPUT", "-i", self.name, *rule)


@contextmanager
def serve_docker() -> Iterator[DockerEngine]:
    """Start an engine with files and a socket of its own; at the end nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="docker-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        host = f"unix://{folder}/docker.sock"
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [
                    *("dockerd", "--host", host, "--bridge", "none"),
                    *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
                    *("--pidfile", str(folder / "pid")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        engine = DockerEngine(host)
        try:
            deadline = time.monotonic() + _PATIENCE
            while engine.docker("version", check=False).returncode:
                if daemon.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"dockerd did not start:\n{(folder / 'log').read_text()}")
                time.sleep(0.1)
            yield engine
        finally:
            daemon.terminate()
            daemon.wait()


def _collect_wheels(folder: Path) -> None:
    """All that the image installs, as wheels, from where pip finds packages here."""
    import tomllib

    needed = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    words = [*needed["project"]["dependencies"], *needed["build-system"]["requires"]]
    constraints = str(_ROOT / "constraints.txt")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--constraint", constraints]
    _run(*pip, "--wheel-dir", str(folder), *words)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr[-3000:] or done.stdout[-3000:]}"
