"""Every setting of the connection is said in boto3's own ways, to a server that can tell."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from authority import make_authority
from difficult_server import DENIED, EXPIRED, SLOW_DOWN, Fault, Plan, Rule, make_difficult
from rgw_server import RgwServer
from s3_server import BUCKET, REGION, S3Server, User

from evoptim.errors import InfrastructureError, InputError
from evoptim.store import Store, check_writable, open_store
from evoptim.store.s3_client import ATTEMPTS

SESSION = User("ASIASESSION", "its-secret", "its/token+of==several/parts")
URL = f"s3://{BUCKET}/settings"
Tell = Callable[..., None]
Behind = Callable[..., Plan]


class Signature(NamedTuple):
    """What a request says of who made it."""

    access_key: str
    region: str
    token: str | None


def signatures(plan: Plan) -> set[Signature]:
    """Of all requests; a token that came must be signed too."""
    found = set()
    for request in plan.seen:
        told = request.headers["Authorization"]
        key, _, region, service, _ = re.search(r"Credential=(\S+),", told)[1].split("/")
        token = request.headers.get("x-amz-security-token")
        signed = re.search(r"SignedHeaders=(\S+),", told)[1].split(";")
        assert service == "s3"
        assert ("x-amz-security-token" in signed) == (token is not None)
        found.add(Signature(key, region, token))
    return found


def refused(kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        open_store(URL).put("a", b"1")
    return str(caught.value)


def in_variables(user: User, tell: Tell) -> None:
    tell(**user.environment())


def in_the_credentials_file(user: User, tell: Tell) -> None:
    tell(credentials=f"[default]\n{lines_of(user)}")


def in_a_profile_of_the_credentials_file(user: User, tell: Tell) -> None:
    tell(credentials=f"[default]\n{lines_of(WRONG)}[team]\n{lines_of(user)}", AWS_PROFILE="team")


def in_a_profile_of_the_config_file(user: User, tell: Tell) -> None:
    tell(config=f"[profile team]\n{lines_of(user)}", AWS_PROFILE="team")


def by_a_process(user: User, tell: Tell) -> None:
    said = {"Version": 1, "AccessKeyId": user.access_key, "SecretAccessKey": user.secret_key}
    program = f"import json; print(json.dumps({said}))".replace('"', "'")
    tell(config=f'[default]\ncredential_process = {sys.executable} -c "{program}"\n')


WAYS = [
    in_variables,
    in_the_credentials_file,
    in_a_profile_of_the_credentials_file,
    in_a_profile_of_the_config_file,
    by_a_process,
]
WRONG = User("AKIAWRONGWRONGWRONGX", "wrong")


def lines_of(user: User) -> str:
    return "".join(f"{name.lower()} = {value}\n" for name, value in user.environment().items())


class TestCredentials:
    @pytest.mark.parametrize("way", WAYS)
    def test_they_are_found_where_boto3_looks(
        self,
        guarded_s3_server: tuple[S3Server, User, User],
        tell: Tell,
        forget: Tell,
        way: Callable[[User, Tell], None],
    ) -> None:
        server, allowed, _ = guarded_s3_server
        forget("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        tell(AWS_ENDPOINT_URL=server.endpoint)
        way(allowed, tell)
        assert check_writable(open_store(URL))
        way(User(allowed.access_key, "wrong"), tell)
        assert "must accept the credentials, got SignatureDoesNotMatch" in refused()

    @pytest.mark.slow
    def test_ceph_refuses_a_wrong_secret(self, rgw_server: RgwServer, tell: Tell) -> None:
        tell(**rgw_server.environment())
        assert check_writable(open_store(URL))
        tell(AWS_SECRET_ACCESS_KEY="wrong")
        # Where sessions are switched on, it says no more than this.
        assert "must let these credentials list, read and write, got AccessDenied;" in refused()


class TestSessions:
    def test_a_token_is_sent_and_signed(self, behind: Behind, tell: Tell) -> None:
        plan = behind()
        tell(**SESSION.environment())
        check_writable(open_store(URL))
        assert signatures(plan) == {Signature(SESSION.access_key, REGION, SESSION.session_token)}

    def test_a_role_of_a_profile_is_assumed(
        self, behind: Behind, s3_server: S3Server, tell: Tell, forget: Tell
    ) -> None:
        plan = behind()
        forget("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        role = "role_arn = arn:aws:iam::123456789012:role/search\nsource_profile = base\n"
        tell(
            config=f"[profile base]\n{lines_of(WRONG)}[profile team]\n{role}",
            AWS_PROFILE="team",
            AWS_ENDPOINT_URL_STS=s3_server.endpoint,
        )
        check_writable(open_store(URL))
        (signature,) = signatures(plan)
        assert signature.access_key.startswith("ASIA")
        assert signature.token

    def test_a_pod_with_a_web_identity_assumes_its_role(
        self, behind: Behind, s3_server: S3Server, tell: Tell, forget: Tell, tmp_path: Path
    ) -> None:
        plan = behind()
        forget("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        (tmp_path / "identity").write_text("a token of the cluster")
        tell(
            AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "identity"),
            AWS_ROLE_ARN="arn:aws:iam::123456789012:role/search",
            AWS_ENDPOINT_URL_STS=s3_server.endpoint,
        )
        check_writable(open_store(URL))
        (signature,) = signatures(plan)
        assert signature.access_key.startswith("ASIA")
        assert signature.token

    def test_a_container_asks_its_agent(
        self, behind: Behind, agent: str, tell: Tell, forget: Tell
    ) -> None:
        plan = behind()
        forget("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        tell(AWS_CONTAINER_CREDENTIALS_FULL_URI=agent)
        check_writable(open_store(URL))
        assert signatures(plan) == {Signature(SESSION.access_key, REGION, SESSION.session_token)}

    @pytest.mark.parametrize(
        "verb",
        [
            lambda store: store.put("a", b"1"),
            lambda store: store.get("a"),
            lambda store: store.exists("a"),
            lambda store: store.list(),
            check_writable,
        ],
        ids=["put", "get", "exists", "list", "check"],
    )
    def test_one_that_has_ended_is_named_by_every_verb(
        self, behind: Behind, verb: Callable[[Store], object]
    ) -> None:
        behind(Rule(EXPIRED))
        told = "must accept the credentials, got ExpiredToken: .*; correct or renew them .*TOKEN"
        with pytest.raises(InputError, match=told):
            verb(open_store(URL))

    @pytest.mark.slow
    def test_ceph_lets_a_session_in_until_it_ends(self, rgw_server: RgwServer, tell: Tell) -> None:
        tell(**rgw_server.environment(rgw_server.assume_role(900)))
        assert check_writable(open_store(URL))
        renew = "must let these credentials .*, got AccessDenied; .*renew AWS_SESSION_TOKEN"
        tell(AWS_SESSION_TOKEN="another")
        assert re.search(renew, refused())
        short = rgw_server.assume_role(2)
        threading.Event().wait(3)
        tell(**short.environment())
        assert re.search(renew, refused())


class TestRegion:
    @pytest.mark.parametrize(
        ("told", "region"),
        [
            ({"AWS_REGION": "eu-north-1"}, "eu-north-1"),
            ({"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
            ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
            ({"config": "[default]\nregion = sa-east-1\n"}, "sa-east-1"),
            ({"config": "[profile a]\nregion = sa-east-1\n", "AWS_PROFILE": "a"}, "sa-east-1"),
        ],
    )
    def test_requests_are_signed_for_it(
        self, behind: Behind, tell: Tell, forget: Tell, told: dict[str, str], region: str
    ) -> None:
        plan = behind()
        forget("AWS_REGION")
        tell(**told)
        check_writable(open_store(URL))
        assert {signature.region for signature in signatures(plan)} == {region}


class TestAddress:
    @pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
    def test_the_more_special_variable_decides(self, behind: Behind, tell: Tell, name: str) -> None:
        plan = behind()
        endpoint = tell.endpoint  # type: ignore[attr-defined]
        tell(AWS_ENDPOINT_URL="http://127.0.0.1:1")
        tell(**{name: endpoint})
        assert check_writable(open_store(URL))
        assert plan.seen

    @pytest.mark.parametrize(
        "config",
        [
            "[profile a]\nendpoint_url = {}\n",
            "[profile a]\nservices = ours\n[services ours]\ns3 =\n  endpoint_url = {}\n",
        ],
        ids=["for all services", "for S3"],
    )
    def test_a_profile_names_it(
        self, behind: Behind, tell: Tell, forget: Tell, config: str
    ) -> None:
        plan = behind()
        endpoint = tell.endpoint  # type: ignore[attr-defined]
        forget("AWS_ENDPOINT_URL")
        tell(config=config.format(endpoint), AWS_PROFILE="a")
        assert check_writable(open_store(URL))
        assert plan.seen

    @pytest.mark.parametrize(
        ("style", "prefix"),
        [
            ("", f"http://s3.example.test/{BUCKET}/"),
            ("path", f"http://s3.example.test/{BUCKET}/"),
            ("virtual", f"http://{BUCKET}.s3.example.test/"),
        ],
        ids=["unsaid", "path", "virtual"],
    )
    def test_the_bucket_stands_where_the_profile_says(
        self, behind: Behind, tell: Tell, style: str, prefix: str
    ) -> None:
        # Through a proxy for HTTP, which boto3 heeds too: the host need not exist.
        plan = behind(Rule(DENIED))
        endpoint = tell.endpoint  # type: ignore[attr-defined]
        tell(HTTP_PROXY=endpoint, AWS_ENDPOINT_URL="http://s3.example.test")
        if style:
            tell(config=f"[default]\ns3 =\n  addressing_style = {style}\n")
        refused()
        assert plan.seen
        assert all(request.target.startswith(f"{prefix}settings/") for request in plan.seen)


class TestCertificates:
    def test_an_authority_of_ones_own_is_trusted_where_it_is_named(
        self, behind_tls: Path, tell: Tell
    ) -> None:
        tell(AWS_CA_BUNDLE=str(behind_tls))
        assert check_writable(open_store(URL))

    def test_a_profile_may_name_it(self, behind_tls: Path, tell: Tell) -> None:
        tell(config=f"[profile a]\nca_bundle = {behind_tls}\n", AWS_PROFILE="a")
        assert check_writable(open_store(URL))

    def test_without_it_the_line_says_what_to_set(self, behind_tls: Path, tell: Tell) -> None:
        tell(AWS_MAX_ATTEMPTS="1")
        line = refused()
        assert "must present a trusted certificate" in line
        assert "set AWS_CA_BUNDLE to the file of its authority" in line

    def test_a_file_that_is_not_there_is_named(self, behind_tls: Path, tell: Tell) -> None:
        tell(AWS_CA_BUNDLE="/no/such/file", AWS_MAX_ATTEMPTS="1")
        assert "/no/such/file" in refused()


class TestRetries:
    def test_they_take_fifteen_seconds_at_most(self, behind: Behind, pauses: list[float]) -> None:
        plan = behind(Rule(SLOW_DOWN))
        refused(InfrastructureError)
        assert len(plan.seen) == ATTEMPTS
        assert len(set(pauses)) == ATTEMPTS - 1
        assert all(0 < pause <= 2**place for place, pause in enumerate(pauses))

    @pytest.mark.parametrize(
        "told",
        [{"AWS_MAX_ATTEMPTS": "2"}, {"config": "[default]\nmax_attempts = 2\n"}],
        ids=["variable", "profile"],
    )
    @pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
    @pytest.mark.parametrize("fault", [Fault.DROPPED, SLOW_DOWN], ids=["dropped", "slow down"])
    def test_the_user_says_how_many(
        self,
        behind: Behind,
        tell: Tell,
        pauses: list[float],
        told: dict[str, str],
        mode: str,
        fault: Fault,
    ) -> None:
        plan = behind(Rule(fault))
        tell(**told, AWS_RETRY_MODE=mode)
        assert "tried 2 times" in refused(InfrastructureError)
        assert len(plan.seen) == 2
        assert sum(pauses) < 30


@pytest.fixture
def tell(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Set variables; ``config`` and ``credentials`` are the texts of boto3's files."""
    files = {"config": "AWS_CONFIG_FILE", "credentials": "AWS_SHARED_CREDENTIALS_FILE"}

    def tell(**told: str) -> None:
        for name, value in told.items():
            if name in files:
                path = tmp_path / name
                path.write_text(value)
                monkeypatch.setenv(files[name], str(path))
            else:
                monkeypatch.setenv(name, value)

    return tell


@pytest.fixture
def forget(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> Tell:
    def forget(*names: str) -> None:
        for name in names:
            monkeypatch.delenv(name)

    return forget


@pytest.fixture
def behind(tell: Tell, s3_server: S3Server) -> Iterator[Behind]:
    """Put a server that looks at what it is asked where the variables point."""
    with ExitStack() as stack:

        def behind(*rules: Rule) -> Plan:
            plan = Plan(*rules)
            endpoint = stack.enter_context(make_difficult(s3_server.endpoint, plan))
            tell(AWS_ENDPOINT_URL=endpoint)
            tell.endpoint = endpoint  # type: ignore[attr-defined]
            return plan

        yield behind


@pytest.fixture
def behind_tls(tell: Tell, s3_server: S3Server, tmp_path: Path) -> Iterator[Path]:
    """Let the variables point to HTTPS; the file of who vouches for the server."""
    bundle, context = make_authority(tmp_path)
    with make_difficult(s3_server.endpoint, Plan(), context) as endpoint:
        tell(AWS_ENDPOINT_URL=endpoint)
        yield bundle


@pytest.fixture
def agent() -> Iterator[str]:
    """The address at which a container finds its credentials, as on EKS and ECS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = {
                "AccessKeyId": SESSION.access_key,
                "SecretAccessKey": SESSION.secret_key,
                "Token": SESSION.session_token,
                "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200)),
            }
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds between tries, without waiting for them."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found
