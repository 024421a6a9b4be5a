"""A real S3 server for tests: moto's, in a process of its own, on a port that it chooses itself.

Contract and end-to-end tests start one for a whole session and give every test its own prefix::

    with serve_s3() as server:
        server.create_bucket()
        subprocess.run([...], env={**os.environ, **server.environment()})

moto asks for no credentials until :meth:`S3Server.require_credentials` is called; from then on only
the user that it returns may do anything. A server that enforces them cannot be shared with tests
that use :meth:`S3Server.environment` as it is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

REGION = "us-east-1"
BUCKET = "evoptim-tests"


@dataclass(frozen=True)
class User:
    access_key: str
    secret_key: str
    session_token: str = ""

    def environment(self) -> dict[str, str]:
        """The variables in which boto3 finds them."""
        found = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        return found | ({"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {})


ANYBODY = User("anybody", "anything")


@dataclass(frozen=True)
class S3Server:
    endpoint: str

    def environment(self, user: User = ANYBODY) -> dict[str, str]:
        """What a process must find in its environment to use this server and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            **user.environment(),
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "s3") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ANYBODY.access_key,
            aws_secret_access_key=ANYBODY.secret_key,
        )

    def create_bucket(self, name: str = BUCKET) -> None:
        self.client().create_bucket(Bucket=name)

    def require_credentials(self) -> tuple[User, User]:
        """Refuse everybody from now on, except one user; the other exists and may do nothing."""
        allowed = self._create_user("allowed")
        forbidden = self._create_user("forbidden")
        everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        self.client("iam").put_user_policy(
            UserName="allowed",
            PolicyName="everything",
            PolicyDocument=policy(everything),
        )
        reset = urllib.request.Request(
            f"{self.endpoint}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}
        )
        with urllib.request.urlopen(reset) as answer:
            assert answer.status == 200
        return allowed, forbidden

    def _create_user(self, name: str) -> User:
        iam = self.client("iam")
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return User(key["AccessKeyId"], key["SecretAccessKey"])


def policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def let_anybody_in(client: Any, bucket: str = BUCKET) -> None:
    """Allow everything there to requests that nobody signed."""
    everything = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    client.put_bucket_policy(Bucket=bucket, Policy=policy(everything))


@contextmanager
def serve_s3(page: int = 1000) -> Iterator[S3Server]:
    """Start a server, wait until it listens, stop it at the end; it keeps all in memory.

    Args:
        page: How many keys a listing holds at most, before the next is to be asked for.
    """
    # A pipe that nobody empties would stop the server after some hundred requests.
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=log,
            stderr=log,
            env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(page)},
        )
        try:
            yield S3Server(_endpoint(process, Path(log.name)))
        finally:
            process.terminate()
            process.wait()


def _endpoint(process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        if found := re.search(r"Running on (http://\S+)\s", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"moto's server did not start:\n{log.read_text()}")
