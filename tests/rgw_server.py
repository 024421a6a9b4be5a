"""A real S3 server for tests: Ceph's RADOS gateway over one monitor and one OSD, as any user.

It needs Debian's ``ceph-mon``, ``ceph-osd`` and ``radosgw``; :func:`missing_rgw` says what is not
there, for a test to skip with::

    if reason := missing_rgw():
        pytest.skip(reason)
    with serve_rgw() as server:
        server.create_bucket("mine")
        subprocess.run([...], env={**os.environ, **server.environment()})

Unlike moto's it checks signatures, honours ``If-None-Match: *`` in a race, and is not Python. All
its processes are children of the test's and end with the ``with`` block.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from s3_server import BUCKET, REGION, User, policy

PACKAGES = ("ceph-mon", "ceph-osd", "radosgw")
_PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
# Long enough for a machine that is busy with other things; only a server that never comes waits.
_PATIENCE = 180.0
_FIRST = "first"


def missing_rgw() -> str | None:
    """Why no gateway can be started here, or None."""
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    if not absent:
        return None
    return f"needs {', '.join(absent)}: apt-get install {' '.join(PACKAGES)}"


@dataclass(frozen=True)
class RgwServer:
    """A gateway that serves; its only user may do anything."""

    endpoint: str
    user: User
    folder: Path
    """Configuration and logs of its processes."""

    def environment(self, user: User | None = None) -> dict[str, str]:
        """What a process must find in its environment to use this server and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            **(user or self.user).environment(),
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "s3", **options: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.user.access_key,
            aws_secret_access_key=self.user.secret_key,
            config=Config(s3={"addressing_style": "path"}, **options),
        )

    def create_bucket(self, name: str = BUCKET) -> None:
        self.client().create_bucket(Bucket=name)

    def create_user(self, name: str) -> User:
        """A user beside the first, who may do nothing with the buckets of others."""
        return _create_user(self.folder, name)

    def assume_role(self, seconds: int) -> User:
        """Somebody who may do anything with S3, for so long, in a session of the first user."""
        role, first = f"role-{uuid.uuid4().hex}", {"AWS": [f"arn:aws:iam:::user/{_FIRST}"]}
        trust = {"Effect": "Allow", "Principal": first, "Action": ["sts:AssumeRole"]}
        _administer(
            self.folder,
            *("role", "create", "--role-name", role, "--path", "/"),
            *("--assume-role-policy-doc", policy(trust)),
        )
        everything = {"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}
        _run(
            self.folder,
            *("radosgw-admin", "role-policy", "put", "--role-name", role),
            *("--policy-name", "everything", "--policy-doc", policy(everything)),
        )
        # Amazon's own least is 900 seconds.
        sts = self.client("sts", parameter_validation=False)
        got = sts.assume_role(
            RoleArn=f"arn:aws:iam:::role/{role}", RoleSessionName="session", DurationSeconds=seconds
        )["Credentials"]
        return User(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])


@contextmanager
def serve_rgw(
    address: str = "127.0.0.1", *, durable: bool = False, page: int = 1000
) -> Iterator[RgwServer]:
    """Start a gateway, wait until it answers, stop it at the end.

    Args:
        address: Where it listens; an address of this machine.
        durable: Whether objects lie in files and outlive ``kill -9``, rather than in memory.
        page: How many keys a listing holds at most, before the next is to be asked for.
    """
    with tempfile.TemporaryDirectory(prefix="rgw-") as name, ExitStack() as stack:
        folder = Path(name)
        monitor, gateway = _free_port("127.0.0.1"), _free_port(address)
        fsid = str(uuid.uuid4())
        for part in ("mon", "osd", "rgw", "run", "log"):
            (folder / part).mkdir()
        (folder / "ceph.conf").write_text(
            _configuration(folder, fsid, monitor, f"{address}:{gateway}", durable, page)
        )

        _make_keyring(folder / "keyring")
        map_ = folder / "monmap"
        first = f"[v2:127.0.0.1:{monitor}]"
        _run(folder, "monmaptool", "--create", "--fsid", fsid, "--addv", "a", first, str(map_))
        _run(folder, "ceph-mon", "--mkfs", "-i", "a", "--monmap", str(map_))
        stack.enter_context(_daemon(folder, "ceph-mon", "-i", "a"))
        _run(folder, "ceph", "--connect-timeout", str(int(_PATIENCE)), "status")

        _run(folder, "ceph", "osd", "new", fsid)
        _run(folder, "ceph", "auth", "import", "-i", str(folder / "keyring"))
        _run(folder, "ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", fsid)
        _run(folder, "ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=here")
        osd = stack.enter_context(_daemon(folder, "ceph-osd", "-i", "0"))
        _wait(lambda: _osd_is_up(folder), osd, folder)

        radosgw = stack.enter_context(_daemon(folder, "radosgw", "-n", "client.admin"))
        endpoint = f"http://{address}:{gateway}"
        _wait(lambda: _answers(endpoint), radosgw, folder)
        yield RgwServer(endpoint, _create_user(folder, _FIRST), folder)


def _make_keyring(path: Path) -> None:
    """The keys of the monitor, the OSD and the administrator, whom all other programs act as."""
    everything = {"mon": "allow *", "osd": "allow *", "mgr": "allow *"}
    allowed = {"mon.": {"mon": "allow *"}, "osd.0": everything, "client.admin": everything}
    for place, (entity, parts) in enumerate(allowed.items()):
        create = [] if place else ["--create-keyring"]
        caps = [word for part, what in parts.items() for word in ("--cap", part, what)]
        _run(path.parent, "ceph-authtool", *create, "--gen-key", "-n", entity, *caps, str(path))


def _configuration(
    folder: Path, fsid: str, monitor: int, frontend: str, durable: bool, page: int
) -> str:
    settings = {
        "fsid": fsid,
        "mon host": f"v2:127.0.0.1:{monitor}",
        "public network": "127.0.0.0/8",
        "ms bind ipv4": "true",
        "ms bind msgr1": "false",
        "auth allow insecure global id reclaim": "false",
        "run dir": folder / "run",
        "admin socket": folder / "run" / "$name.asok",
        "pid file": folder / "run" / "$name.pid",
        "log file": folder / "log" / "$name.log",
        "crash dir": folder / "crash",
        "keyring": folder / "keyring",
        "mon data": folder / "mon",
        "osd data": folder / "osd",
        "rgw data": folder / "rgw",
        # One copy of everything on the one OSD, with few placement groups.
        "osd crush chooseleaf type": 0,
        "osd pool default size": 1,
        "osd pool default min size": 1,
        "osd pool default pg num": 8,
        "osd pool default pgp num": 8,
        "osd pool default pg autoscale mode": "off",
        "rgw rados pool pg num min": 8,
        "mon max pg per osd": 2000,
        "mon allow pool size one": "true",
        # The disk of a laptop that is nearly full is no reason to refuse a test's few objects.
        "mon data avail crit": 1,
        "mon data avail warn": 2,
        "mon osd nearfull ratio": 0.97,
        "mon osd backfillfull ratio": 0.98,
        "mon osd full ratio": 0.99,
        "osd objectstore": "bluestore" if durable else "memstore",
        "memstore device bytes": 4 * 2**30,
        "bluestore block size": 4 * 2**30,
        "rgw frontends": f"beast endpoint={frontend}",
        "rgw dynamic resharding": "false",
        "rgw max listing results": page,
        # Sessions, as short as a test may want them.
        "rgw s3 auth use sts": "true",
        "rgw sts key": "of16 characters.",
        "rgw sts min session duration": 1,
    }
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())


def _run(folder: Path, program: str, *words: str) -> str:
    # monmaptool alone takes no configuration.
    where = [] if program in ("monmaptool", "ceph-authtool") else ["-c", str(folder / "ceph.conf")]
    done = subprocess.run(
        [program, *where, *words], capture_output=True, text=True, check=False, timeout=_PATIENCE
    )
    if done.returncode:
        raise RuntimeError(f"{program} {' '.join(words)} failed: {done.stderr or done.stdout}")
    return done.stdout


@contextmanager
def _daemon(folder: Path, program: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log" / f"{program}.out").open("wb") as out:
        process = subprocess.Popen(
            [program, "-f", "-c", str(folder / "ceph.conf"), *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        # Nothing here is worth a tidy shutdown, which takes the OSD seconds.
        process.kill()
        process.wait()


def _wait(ready: Any, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            logs = sorted((folder / "log").iterdir())
            ends = "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in logs)
            raise RuntimeError(f"Ceph did not start:\n{ends}")
        time.sleep(0.1)


def _osd_is_up(folder: Path) -> bool:
    found = json.loads(_run(folder, "ceph", "osd", "stat", "--format", "json"))
    return bool(found["num_up_osds"])


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(endpoint, timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def _create_user(folder: Path, name: str) -> User:
    (key,) = _administer(folder, "user", "create", "--uid", name, "--display-name", name)["keys"]
    return User(key["access_key"], key["secret_key"])


def _administer(folder: Path, *words: str) -> Any:
    return json.loads(_run(folder, "radosgw-admin", *words))


def _free_port(address: str) -> int:
    with socket.socket() as found:
        found.bind((address, 0))
        return int(found.getsockname()[1])
