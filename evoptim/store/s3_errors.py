"""What S3 answers when it refuses, and what the user can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from evoptim.errors import EvoptimError, InfrastructureError, InputError

FAILURES: Final = (boto.BotoCoreError, boto.ClientError, ResponseParserError)
"""All that a call may raise."""
BROKEN_ANSWERS: Final = (
    boto.FlexibleChecksumError,
    boto.IncompleteReadError,
    boto.ReadTimeoutError,
    boto.ResponseStreamingError,
)
"""The connection broke while the content came, after the part that botocore retries."""


class BrokenContentError(boto.BotoCoreError):  # type: ignore[misc]
    """The content of an object broke off or changed on its way."""

    fmt = "{key} came back broken: {reason}"


NOT_FOUND: Final = frozenset({"NoSuchKey", "404"})
ALREADY_THERE: Final = frozenset({"PreconditionFailed", "412"})
BARE_REFUSALS: Final = frozenset({"400", "403"})
"""What is left of any refusal in an answer without content."""
CONFLICT: Final = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})

_CREDENTIALS: Final = (
    boto.CredentialRetrievalError,
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
)


@dataclass(frozen=True)
class Refusal:
    """A family of error codes that share a cause."""

    codes: frozenset[str]
    rule: str
    remedy: str
    error: type[EvoptimError] = InputError


REFUSALS: Final = (
    Refusal(
        frozenset({"NoSuchBucket"}),
        "must exist",
        "create the bucket or correct its name or the endpoint",
    ),
    Refusal(frozenset({"InvalidBucketName"}), "must have a legal name", "correct the bucket"),
    Refusal(
        frozenset(
            {
                "InvalidAccessKeyId",
                "SignatureDoesNotMatch",
                "InvalidToken",
                "ExpiredToken",
                "ExpiredTokenException",
                "InvalidSecurity",
                "InvalidClientTokenId",
                "TokenRefreshRequired",
                "AuthFailure",
            }
        ),
        "must accept the credentials",
        "correct or renew them (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or "
        "AWS_PROFILE)",
    ),
    Refusal(
        frozenset({"AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "403"}),
        "must let these credentials list, read and write",
        # Ceph answers so to a session that has ended, too.
        "grant s3:ListBucket, s3:GetObject and s3:PutObject, renew AWS_SESSION_TOKEN if one is "
        "set, or use other credentials",
    ),
    Refusal(
        frozenset(
            {
                "PermanentRedirect",
                "AuthorizationHeaderMalformed",
                "IllegalLocationConstraintException",
                "301",
            }
        ),
        "must be asked in its own region",
        "set AWS_REGION to the bucket's region",
    ),
    Refusal(
        frozenset({"NotImplemented", "501"}),
        "must understand conditional writes (If-None-Match)",
        "update the server or use another store",
    ),
    Refusal(
        # Not the user's mistake: another machine, or this one a minute later, may be right.
        frozenset({"RequestTimeTooSkewed", "RequestExpired"}),
        "must agree on the time",
        "set the clock of this machine",
        InfrastructureError,
    ),
    Refusal(
        frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"}),
        "needs free space",
        "free some and run the same command again, everything finished is kept",
        InfrastructureError,
    ),
)


def code_of(error: Exception) -> str:
    """The server's error code, such as ``NoSuchKey``; empty if no server answered."""
    return str(_answer(error).get("Code", ""))


def explain(error: Exception, where: str, tries: int = 1) -> EvoptimError:
    """One line for a failed call: the rule broken, what came back, the remedy.

    Args:
        error: from botocore, or the ValueError by which it refuses a malformed endpoint.
        where: the bucket and its endpoint, in words.
        tries: How often such a call is made before it is given up.
    """
    if isinstance(error, boto.ClientError):
        return _explain_answer(error, where, tries)
    reason = _one_line(str(error))
    if isinstance(error, _CREDENTIALS):
        return InputError(
            f"{where} needs credentials: {reason}; set AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    if isinstance(error, boto.SSLError):
        return InputError(
            f"{where} must present a trusted certificate: {reason}; set AWS_CA_BUNDLE to the file "
            f"of its authority, or correct the endpoint"
        )
    if isinstance(error, ResponseParserError):
        return InputError(
            f"{where} must be served by S3, got an answer that is not S3's: {reason}; correct "
            f"AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL"
        )
    if isinstance(error, BrokenContentError):
        return InfrastructureError(
            f"{where} must give back what was written: {reason}{_tried(tries)}; check the "
            f"network, then run the same command again; if that object stays broken, remove it"
        )
    if isinstance(error, (boto.HTTPClientError, boto.ConnectionError)):
        return InfrastructureError(
            f"{where} must answer: {reason}{_tried(tries)}; check AWS_ENDPOINT_URL_S3, "
            f"AWS_ENDPOINT_URL and the network, then run the same command again"
        )
    return InputError(f"{where} must be configured soundly: {reason}; correct the AWS settings")


def _explain_answer(error: Exception, where: str, tries: int) -> EvoptimError:
    code, message = code_of(error), _one_line(str(_answer(error).get("Message") or ""))
    received = f"{code}: {message}" if message else code
    for refusal in REFUSALS:
        if code in refusal.codes:
            return refusal.error(f"{where} {refusal.rule}, got {received}; {refusal.remedy}")
    return InfrastructureError(
        f"{where} must do what it is asked, got {received}{_tried(tries)}; look at the server's "
        f"state, then run the same command again"
    )


def _tried(times: int) -> str:
    return f", tried {times} times" if times > 1 else ""


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _answer(error: Exception) -> dict[str, Any]:
    # Errors of the connection have a response too: it is None.
    if not isinstance(error, boto.ClientError):
        return {}
    answer: dict[str, Any] = error.response.get("Error", {})
    return answer
