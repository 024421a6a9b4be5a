"""A boto3 client that is set up in boto3's own ways, with defaults that suit any S3 server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config

ATTEMPTS: Final = 5
CONNECT_TIMEOUT: Final = 5.0
"""Seconds. With :data:`ATTEMPTS` a server that is not there is given up in half a minute."""
READ_TIMEOUT: Final = 60.0
"""Seconds of silence."""
CONNECTIONS: Final = 32
"""Threads that may use one store at once without waiting for each other."""


def connect() -> Any:
    """An S3 client from the environment: ``AWS_*`` variables, profiles, instance roles.

    What boto3 is told stands. What it is not told is set here: bounded retries with jitter, and
    for an endpoint that is not Amazon's, path-style addressing and no checksum but the signed
    SHA-256 of the body, since many servers know neither virtual hosts nor trailing checksums.

    Raises:
        botocore.exceptions.BotoCoreError, ValueError: the settings cannot be followed.
    """
    core = botocore.session.Session()
    # boto3 alone among Amazon's libraries does not read AWS_REGION.
    region = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION")
    session = boto3.Session(botocore_session=core, region_name=region)
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        max_pool_connections=CONNECTIONS,
        retries={
            "mode": _told(core, "retry_mode") or "standard",
            "total_max_attempts": int(_told(core, "max_attempts") or ATTEMPTS),
        },
    )
    bundle = core.get_config_variable("ca_bundle")
    if bundle and not Path(bundle).exists():
        # botocore's own error, at the first request, does not say which file.
        raise ValueError(f"AWS_CA_BUNDLE (ca_bundle) names {bundle}, which is not there")
    client = session.client("s3", config=config)
    if _is_amazon(client.meta.endpoint_url):
        return client
    if not (_told(core, "s3") or {}).get("addressing_style"):
        config = config.merge(Config(s3={"addressing_style": "path"}))
    if not _told(core, "request_checksum_calculation"):
        config = config.merge(Config(request_checksum_calculation="when_required"))
    return session.client("s3", config=config)


def _is_amazon(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _told(core: Any, name: str) -> Any:
    """What the user set, by environment or profile; None where botocore would use its default."""
    return os.environ.get(f"AWS_{name.upper()}") or core.get_scoped_config().get(name)
