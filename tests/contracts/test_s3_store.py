"""What S3 adds to the contract: settings and refusals."""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from s3_server import BUCKET, S3Server, User

from evoptim.errors import InfrastructureError, InputError
from evoptim.store import check_writable, open_store
from evoptim.store.s3_client import connect
from evoptim.store.s3_errors import explain

Guarded = tuple[S3Server, User, User]


def refused(url: str) -> str:
    """The one line with which a store is refused before anything runs."""
    with pytest.raises(InputError) as caught:
        check_writable(open_store(url))
    line = str(caught.value)
    assert "\n" not in line
    return line


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "canonical"),
        [
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b", "s3://bucket/a/b"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ],
    )
    def test_its_url_opens_it_again(self, s3_url: str, url: str, canonical: str) -> None:
        assert open_store(url).url == canonical
        assert open_store(canonical).url == canonical

    @pytest.mark.parametrize("url", ["s3://", "s3:///a", "s3://b", "s3://a b", "s3://bucket!/a"])
    def test_an_impossible_bucket_is_refused(self, s3_url: str, url: str) -> None:
        with pytest.raises(InputError, match="a bucket must be 3 or more letters"):
            open_store(url)

    @pytest.mark.parametrize("url", ["s3://bucket//a", "s3://bucket/a/../b", "s3://bucket/a?b"])
    def test_an_impossible_prefix_is_refused(self, s3_url: str, url: str) -> None:
        with pytest.raises(InputError, match="the prefix in a bucket must be"):
            open_store(url)

    def test_stores_with_other_prefixes_do_not_see_each_other(self, s3_url: str) -> None:
        store, longer = open_store(s3_url), open_store(f"{s3_url}0")
        store.put("a", b"1")
        longer.put("b", b"2")
        assert list(store.list()) == ["a"]
        assert list(longer.list()) == ["b"]

    def test_objects_lie_where_other_tools_look(self, s3_url: str, s3_server: S3Server) -> None:
        open_store(s3_url).put("runs/a/config.json", b"{}")
        prefix = s3_url.removeprefix(f"s3://{BUCKET}/")
        got = s3_server.client().get_object(Bucket=BUCKET, Key=f"{prefix}/runs/a/config.json")
        assert got["Body"].read() == b"{}"


class TestSettings:
    def test_a_server_of_ones_own_is_addressed_by_path(self, s3_url: str) -> None:
        assert connect().meta.config.s3["addressing_style"] == "path"
        assert connect().meta.config.request_checksum_calculation == "when_required"

    def test_what_the_users_profile_says_stands(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        config = tmp_path_factory.mktemp("aws") / "config"
        config.write_text(
            "[default]\nmax_attempts = 9\nretry_mode = adaptive\n"
            "request_checksum_calculation = when_supported\ns3 =\n  addressing_style = virtual\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        told = connect().meta.config
        assert told.s3["addressing_style"] == "virtual"
        assert told.request_checksum_calculation == "when_supported"
        assert told.retries == {"mode": "adaptive", "total_max_attempts": 9}

    def test_amazon_itself_is_addressed_as_boto3_sees_fit(
        self, no_aws: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        client = connect()
        assert client.meta.endpoint_url == "https://s3.eu-central-1.amazonaws.com"
        assert not (client.meta.config.s3 or {}).get("addressing_style")
        assert client.meta.config.request_checksum_calculation == "when_supported"

    def test_no_region_is_needed(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_REGION")
        assert check_writable(open_store(s3_url))


class TestRefusals:
    def test_a_bucket_that_is_not_there(self, s3_url: str, s3_server: S3Server) -> None:
        line = refused("s3://no-such-bucket/a")
        assert line.startswith(f"the S3 bucket 'no-such-bucket' at {s3_server.endpoint} must exist")
        assert "create the bucket or correct its name" in line

    def test_reading_from_a_bucket_that_is_not_there(self, s3_url: str) -> None:
        store = open_store("s3://no-such-bucket/a")
        with pytest.raises(InputError, match="must exist"):
            store.get("a")
        with pytest.raises(InputError, match="must exist"):
            store.list()

    def test_the_right_credentials_pass(
        self, guarded_s3_server: Guarded, log_in: Callable[[S3Server, User], None]
    ) -> None:
        server, allowed, _ = guarded_s3_server
        log_in(server, allowed)
        assert check_writable(open_store(f"s3://{BUCKET}/allowed"))

    @pytest.mark.parametrize("wrong", ["key", "secret"])
    def test_wrong_credentials(
        self, guarded_s3_server: Guarded, log_in: Callable[[S3Server, User], None], wrong: str
    ) -> None:
        server, allowed, _ = guarded_s3_server
        secret = "wrong" if wrong == "secret" else allowed.secret_key
        key = "AKIAWRONGWRONGWRONGX" if wrong == "key" else allowed.access_key
        log_in(server, User(key, secret))
        line = refused(f"s3://{BUCKET}/a")
        assert f"'{BUCKET}' at {server.endpoint} must accept the credentials" in line
        assert "AWS_SECRET_ACCESS_KEY" in line
        assert allowed.secret_key not in line

    def test_credentials_that_may_do_nothing(
        self, guarded_s3_server: Guarded, log_in: Callable[[S3Server, User], None]
    ) -> None:
        server, _, forbidden = guarded_s3_server
        log_in(server, forbidden)
        assert "grant s3:ListBucket, s3:GetObject and s3:PutObject" in refused(f"s3://{BUCKET}/a")
        with pytest.raises(InputError, match="must let these credentials"):
            open_store(f"s3://{BUCKET}/a").exists("a")

    def test_no_credentials(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert "needs credentials" in refused(s3_url)

    def test_half_of_the_credentials(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert "needs credentials" in refused(s3_url)

    def test_an_endpoint_where_nobody_listens(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
            monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
            line = refused(s3_url)
            assert f"at {endpoint} must answer" in line
            assert "check AWS_ENDPOINT_URL_S3" in line
            # Once a run goes on, a server that is away is no mistake of the user.
            monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
            with pytest.raises(InfrastructureError, match="must answer"):
                open_store(s3_url).put("a", b"1")

    def test_an_endpoint_whose_certificate_cannot_be_trusted(
        self, s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint.replace("http:", "https:"))
        line = refused(s3_url)
        assert "must present a trusted certificate" in line
        assert "AWS_CA_BUNDLE" in line

    @pytest.mark.parametrize(
        ("code", "kind", "remedy"),
        [
            ("InvalidBucketName", InputError, "correct the bucket"),
            ("ExpiredToken", InputError, "correct or renew them"),
            ("RequestTimeTooSkewed", InfrastructureError, "set the clock of this machine"),
            ("PermanentRedirect", InputError, "set AWS_REGION"),
            ("NotImplemented", InputError, "update the server"),
            ("SlowDown", InfrastructureError, "run the same command again"),
            ("InternalError", InfrastructureError, "run the same command again"),
            ("QuotaExceeded", InfrastructureError, "everything finished is kept"),
        ],
    )
    def test_what_other_servers_answer(self, code: str, kind: type[Exception], remedy: str) -> None:
        answer = {"Error": {"Code": code, "Message": "Some\n  words."}}
        error = explain(ClientError(answer, "PutObject"), "the S3 bucket 'b'")
        assert type(error) is kind
        assert re.match("the S3 bucket 'b' (must|needs) ", str(error))
        assert f"got {code}: Some words; " in str(error)
        assert remedy in str(error)

    def test_an_endpoint_that_does_not_speak_s3(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch, web_page: str
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", web_page)
        assert f"at {web_page}" in refused(s3_url)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("AWS_ENDPOINT_URL", "not a url"),
            ("AWS_PROFILE", "no-such-profile"),
            ("AWS_MAX_ATTEMPTS", "many"),
            ("AWS_RETRY_MODE", "stubborn"),
        ],
    )
    def test_settings_that_boto3_refuses(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)
        line = refused(s3_url)
        assert "must be configured soundly" in line
        assert value in line

    def test_a_missing_boto3_names_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("s3", "s3_client", "s3_errors"):
            monkeypatch.delitem(sys.modules, f"evoptim.store.{name}", raising=False)
        for name in [name for name in sys.modules if name.split(".")[0] in {"boto3", "botocore"}]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "boto3", None)
        with pytest.raises(InputError, match="pip install boto3"):
            open_store("s3://bucket/a")

    def test_a_folder_needs_no_boto3(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "boto3", None)
        store = open_store(str(tmp_path))
        assert store.put("a", b"1")
        assert store.get("a") == b"1"


@pytest.fixture
def log_in(no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[S3Server, User], None]:
    def log_in(server: S3Server, user: User) -> None:
        for name, value in server.environment(user).items():
            monkeypatch.setenv(name, value)

    return log_in


@pytest.fixture
def web_page() -> Iterator[str]:
    """The address of a server that knows nothing of S3."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
