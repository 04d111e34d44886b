"""Why Codex says that a turn failed, and what a client is told of it."""

import json
from typing import Any

import pytest

from codex_proxy.codex import wire
from codex_proxy.codex.failures import failure, refusal
from codex_proxy.codex.wire import TurnError
from codex_proxy.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    NotLoggedIn,
    ProxyError,
    QuotaExceeded,
    RateLimited,
    UpstreamFailed,
    WorkerFailed,
    WorkspaceUnusable,
)

_INSIDE = "unexpected status from http://10.0.0.7:9912/v1/responses, see /home/someone/.codex"


@pytest.mark.parametrize(
    ("info", "kind"),
    [
        ("contextWindowExceeded", ContextTooLong),
        ("usageLimitExceeded", QuotaExceeded),
        ("sessionBudgetExceeded", QuotaExceeded),
        ("rateLimitExceeded", RateLimited),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}, RateLimited),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 500}}, UpstreamFailed),
        ({"httpConnectionFailed": {"httpStatusCode": 401}}, UpstreamFailed),
        ({"httpConnectionFailed": {"httpStatusCode": 403}}, UpstreamFailed),
        ({"httpConnectionFailed": {"httpStatusCode": None}}, UpstreamFailed),
        ({"responseStreamDisconnected": {}}, UpstreamFailed),
        ({"responseStreamDisconnected": None}, UpstreamFailed),
        ("internalServerError", UpstreamFailed),
        ("serverOverloaded", UpstreamFailed),
        ("modelNotFound", ModelNotFound),
        ("unauthorized", NotLoggedIn),
        ("cyberPolicy", InvalidRequest),
        ("bioPolicy", InvalidRequest),  # since 0.171.0
        ("misalignmentPolicyViolation", InvalidRequest),
        ("sandboxError", WorkerFailed),
        ("other", UpstreamFailed),
        ("aNewWord", UpstreamFailed),
        ({"aNewWord": {"why": "because"}}, UpstreamFailed),
        ({}, UpstreamFailed),
        ("", UpstreamFailed),
        (None, UpstreamFailed),
    ],
)
def test_a_reason_has_its_error_and_what_codex_said_is_for_the_log(
    info: Any, kind: type[ProxyError]
) -> None:  # Any: the wire's own
    error = failure(TurnError(_INSIDE, info))
    assert type(error) is kind
    assert _INSIDE in error.detail
    assert not {"http", "10.0.0.7", "9912", "someone"} & set(error.message.replace("/", " ").replace(":", " ").split())


def test_the_status_of_the_provider_is_told() -> None:
    error = failure(TurnError(_INSIDE, {"httpConnectionFailed": {"httpStatusCode": 503}}))
    assert error.message == "The model provider answered 503."


@pytest.mark.parametrize(
    ("info", "param"), [("contextWindowExceeded", "messages"), ("modelNotFound", "model"), ("usageLimitExceeded", None)]
)
def test_the_member_at_fault_is_named(info: str, param: str | None) -> None:
    assert failure(TurnError(_INSIDE, info)).param == param


@pytest.mark.parametrize("info", ["rateLimitExceeded", {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}])
def test_a_rate_limit_says_when_to_try_again(info: Any) -> None:  # Any: the wire's own
    assert failure(TurnError(_INSIDE, info)).retry_after


@pytest.mark.parametrize(("info", "again"), [("unauthorized", False), ("usageLimitExceeded", True)])
def test_when_to_try_again_is_said_unless_a_person_must_log_in_first(info: str, again: bool) -> None:
    assert bool(failure(TurnError(_INSIDE, info)).retry_after) is again


@pytest.mark.parametrize("info", ["other", "badRequest", None])
def test_what_the_provider_wrote_into_a_400_or_of_a_prompt_is_passed_on_without_addresses(info: str | None) -> None:
    words = "Invalid prompt: it was flagged. See https://docs.internal/errors?id=1 or mail us."
    for said in (words, json.dumps({"error": {"message": words, "type": "invalid"}})):
        error = failure(TurnError(said, info))
        assert type(error) is InvalidRequest
        assert error.message == "The model provider refused the request: Invalid prompt: it was flagged. See … or mail us."


@pytest.mark.parametrize(
    ("said", "info", "told"),
    [  # as 0.147.0, 0.163.0 and 0.169.0 say it
        ("We’re currently experiencing high demand, which may cause temporary errors.", "internalServerError", "answered 500"),
        ("unexpected status 503 Service Unavailable: no, url: http://127.0.0.1:9912/v1/responses", "other", "answered 503."),
        ("unexpected status 503 Service Unavailable: no", {"httpConnectionFailed": {"httpStatusCode": 503}}, "answered 503."),
        (
            "stream disconnected before completion: error sending request",
            "other",
            "could not be reached, or closed the connection.",
        ),
        ("stream disconnected before completion: stream closed before response.completed", "other", "broke off the answer."),
    ],
)
def test_what_the_provider_answered_is_named(said: str, info: Any, told: str) -> None:  # Any: the wire's own
    error = failure(TurnError(said, info))
    assert type(error) is UpstreamFailed
    assert told in error.message
    assert "127.0.0.1" not in error.message


def test_what_the_provider_wrote_is_cut() -> None:
    error = failure(TurnError('{"error":{"message":"' + "x" * 100_000 + '"}}', "other"))
    assert len(error.message) < 600


@pytest.mark.parametrize(
    "said", ["", "null", "[]", "{}", '{"error":null}', '{"error":"text"}', '{"error":{}}', '{"error":{"message":1}}', "{"]
)
def test_a_message_that_is_no_refusal_of_a_provider_is_a_broken_connection(said: str) -> None:
    assert type(failure(TurnError(said, "other"))) is UpstreamFailed


@pytest.mark.parametrize(
    ("method", "code", "said", "brought", "kind", "param"),
    [
        ("thread/start", -32600, "dynamic tool name is reserved: mcp", True, InvalidRequest, "tools"),
        ("thread/start", -32600, "Invalid request: recursion limit exceeded", True, InvalidRequest, "tools"),
        ("thread/start", -32600, "failed to load configuration: /root/x", True, WorkerFailed, None),
        (
            *("thread/start", -32600, "failed to load configuration: Failed to read project config file /w/.codex/config.toml: x"),
            *(True, WorkspaceUnusable, "x_codex.cwd"),
        ),
        ("thread/start", -32600, "Invalid request: unknown field", False, WorkerFailed, None),
        (
            "thread/inject_items",
            -32600,
            "items[3] is not a valid response item: missing field `type`",
            True,
            InvalidRequest,
            "messages",
        ),
        ("turn/start", -32600, "Invalid request: unknown variant `x`, in /home/me https://a.example/b", True, InvalidRequest, None),
        ("turn/start", -32600, "thread not found: 01a2", True, WorkerFailed, None),
        ("turn/start", -32602, "Input exceeds the maximum length of 1048576", True, ContextTooLong, "messages"),
        ("turn/start", -32603, "internal", True, WorkerFailed, None),
    ],
)
def test_a_refusal_is_the_requests_fault_where_it_brought_what_is_refused(
    method: str, code: int, said: str, brought: bool, kind: type[ProxyError], param: str | None
) -> None:
    told = refusal(method, wire.RpcError(code, said), brought=brought)
    assert (type(told), told.param) == (kind, param)
    assert not any(secret in told.message for secret in ("/home", "/root", "example", "items[3]"))
    assert kind is ContextTooLong or said in told.detail
