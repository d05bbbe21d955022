"""Why a call failed, in ten words that mean the same whatever the client library, gateway or provider.

A failure tells its reason in up to five ways. They are asked from the most telling to the least: an
error code or phrase in its text (the text itself is never kept), the name of the error's class, the
HTTP status, the gRPC status, and last the classes that libraries also raise when they know no better.

Source: by table below; the words are our own, after the error pages of OpenAI and Anthropic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

TEXT_LIMIT: Final = 4096  # characters of an error's text that are looked at

# Where the names stand -> kind -> class names and error types, without their package.
CLASSES: Final[Mapping[str, Mapping[str, str]]] = {
    "openai-python 2.x openai/_exceptions.py; openai-node core/error.ts": {
        "timeout": "APITimeoutError APIConnectionTimeoutError", "rate_limited": "RateLimitError",
        "auth": "AuthenticationError PermissionDeniedError", "content_filter": "ContentFilterFinishReasonError",
        "provider_error": "APIConnectionError", "cancelled": "APIUserAbortError",
    },
    "anthropic-sdk-python anthropic/_exceptions.py; docs.anthropic.com/en/api/errors": {
        "overloaded": "OverloadedError overloaded_error ServiceUnavailableError",
        "timeout": "DeadlineExceededError timeout_error", "rate_limited": "rate_limit_error billing_error",
        "auth": "authentication_error permission_error", "bad_request": "RequestTooLargeError request_too_large not_found_error",
    },
    "litellm 1.109 litellm/exceptions.py": {
        "timeout": "Timeout", "context_length": "ContextWindowExceededError",
        "content_filter": "ContentPolicyViolationError GuardrailRaisedException BlockedPiiEntityError GuardrailInterventionNormalStringError",
        "rate_limited": "BudgetExceededError RouterRateLimitError RouterRateLimitErrorBasic",
        "bad_request": "UnsupportedParamsError LiteLLMUnknownProvider ImageFetchError",
        "provider_error": "BadGatewayError JSONSchemaValidationError MidStreamFallbackError",
    },
    "vllm 0.26 vllm/v1/engine/exceptions.py, vllm/exceptions.py": {
        "provider_error": "EngineDeadError AsyncEngineDeadError EngineGenerateError", "bad_request": "VLLMValidationError",
    },
    "azure-core azure/core/exceptions.py": {
        "timeout": "ServiceRequestTimeoutError ServiceResponseTimeoutError", "auth": "ClientAuthenticationError",
        "bad_request": "ResourceNotFoundError", "provider_error": "ServiceRequestError ServiceResponseError IncompleteReadError",
    },
    "AWS Bedrock Runtime API reference, InvokeModel and Converse, Errors; botocore/exceptions.py": {
        "timeout": "ModelTimeoutException ConnectTimeoutError ReadTimeoutError",
        "rate_limited": "ThrottlingException TooManyRequestsException ServiceQuotaExceededException",
        "overloaded": "ModelNotReadyException ServiceUnavailableException",
        "auth": "AccessDeniedException ExpiredTokenException UnrecognizedClientException NoCredentialsError",
        "bad_request": "ResourceNotFoundException",
        "provider_error": "ModelErrorException ModelStreamErrorException InternalServerException EndpointConnectionError",
    },
    "google-api-core google/api_core/exceptions.py (Vertex AI); google-genai": {
        "timeout": "DeadlineExceeded GatewayTimeout RetryError", "rate_limited": "ResourceExhausted TooManyRequests",
        "overloaded": "ServiceUnavailable", "auth": "PermissionDenied Forbidden Unauthenticated Unauthorized",
        "bad_request": "InvalidArgument NotFound FailedPrecondition OutOfRange", "provider_error": "BadGateway Aborted DataLoss",
        "cancelled": "Cancelled",
    },
    "httpx, requests, aiohttp and Python's own": {
        "timeout": "TimeoutError TimeoutException ConnectTimeout ReadTimeout WriteTimeout PoolTimeout ServerTimeoutError SocketTimeoutException",
        "provider_error": "ConnectError ReadError WriteError RemoteProtocolError ConnectionError ConnectionResetError "
        "ConnectionRefusedError ServerDisconnectedError ClientConnectorError ClientPayloadError",
        "cancelled": "CancelledError GeneratorExit ClientDisconnect ClientDisconnected ClientDisconnectedError canceled AbortError",
    },
    "gRPC core, statuscodes.md, as error.type": {
        "timeout": "DEADLINE_EXCEEDED", "rate_limited": "RESOURCE_EXHAUSTED", "overloaded": "UNAVAILABLE",
        "auth": "PERMISSION_DENIED UNAUTHENTICATED", "bad_request": "INVALID_ARGUMENT FAILED_PRECONDITION OUT_OF_RANGE UNIMPLEMENTED NOT_FOUND",
        "provider_error": "DATA_LOSS INTERNAL",
    },
}  # fmt: skip

# Classes that their libraries raise for several reasons: a status code says more.
WEAK: Final[Mapping[str, str]] = {
    "badrequesterror": "bad_request", "badrequest": "bad_request", "conflicterror": "bad_request",
    "unprocessableentityerror": "bad_request", "validationexception": "bad_request", "validationerror": "bad_request",
    "invalidrequesterror": "bad_request", "valueerror": "bad_request", "internalservererror": "provider_error", "apierror": "provider_error",
    "apistatuserror": "provider_error", "apiresponsevalidationerror": "provider_error", "servererror": "provider_error",
    "unknownerror": "provider_error",
}  # fmt: skip

# HTTP status -> kind; RFC 9110, 499 from nginx, 529 from Anthropic, 402 from prepaid gateways, 424 from Bedrock.
HTTP: Final[Mapping[int, str]] = {
    401: "auth", 402: "rate_limited", 403: "auth", 408: "timeout", 424: "provider_error", 429: "rate_limited",
    499: "cancelled", 503: "overloaded", 504: "timeout", 529: "overloaded",
}  # fmt: skip

# gRPC status -> kind; google.rpc.Code.
GRPC: Final[Mapping[int, str]] = {
    1: "cancelled", 3: "bad_request", 4: "timeout", 5: "bad_request", 7: "auth", 8: "rate_limited", 9: "bad_request",
    10: "provider_error", 11: "bad_request", 12: "bad_request", 13: "provider_error", 14: "overloaded", 15: "provider_error", 16: "auth",
}  # fmt: skip

# Codes and phrases of an error's text -> kind, the first found wins.
TEXTS: Final[tuple[tuple[str, str, str], ...]] = (
    ("context_length", r"context_length_exceeded|context_window_exceeded|ContextWindowExceeded|string_above_max_length", "OpenAI error codes; litellm normalized_error"),
    ("context_length", r"maximum context length|max_model_len|maximum model length", "vllm 0.26 entrypoints/openai; OpenAI"),
    ("context_length", r"prompt is too long|input is too long for requested model|input token count[^.]{0,40}exceeds", "Anthropic; Bedrock; Vertex AI"),
    ("content_filter", r"content_filter|content_policy_violation|content management policy|ResponsibleAIPolicyViolation|invalid_prompt", "Azure OpenAI, concepts/content-filter; OpenAI"),
    ("content_filter", r"guardrail_intervened|blockReason|PROHIBITED_CONTENT", "Bedrock guardrails; Vertex AI"),
    ("rate_limited", r"insufficient_quota|rate_limit_exceeded|rate_limit_error|billing_hard_limit_reached|tokens per min", "OpenAI guides/error-codes"),
    ("overloaded", r"overloaded_error|no_healthy_upstream|no healthy upstream|model is overloaded", "Anthropic; Envoy; Vertex AI"),
    ("auth", r"invalid_api_key|invalid x-api-key|API_KEY_INVALID|authentication_error", "OpenAI; Anthropic; Vertex AI"),
    ("bad_request", r"model_not_found|DeploymentNotFound|unsupported_parameter", "OpenAI; Azure OpenAI"),
)  # fmt: skip

_NAME: Final = re.compile(r"[^a-z0-9]+")
_TEXTS: Final = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern, _ in TEXTS)


def _key(name: str) -> str:
    return _NAME.sub("", name.lower())


_CLASSES: Final[Mapping[str, str]] = {
    _key(name): kind for kinds in CLASSES.values() for kind, names in kinds.items() for name in names.split()
}


def error_kind(
    error_class: str | None, http_status: int | None = None, text: str = "", grpc_status: int | None = None
) -> str:
    """The neutral kind of a failed call; `unknown` when nothing tells it.

    Args:
        error_class: class name or error type as the source has it, with or without its package.
        http_status: of the provider's answer.
        text: what the error said; looked at, never kept.
        grpc_status: google.rpc.Code of the answer.

    >>> error_kind("openai.BadRequestError", 400, "code: context_length_exceeded"), error_kind("429"), error_kind(None)
    ('context_length', 'rate_limited', 'unknown')
    """
    name = _last(error_class)
    if http_status is None and len(name) == 3 and name.isdecimal():
        http_status = int(name)
    return (
        _told(text)
        or _CLASSES.get(name)
        or _by_http(http_status)
        or GRPC.get(grpc_status or 0)
        or WEAK.get(name)
        or "unknown"
    )


def _last(error_class: str | None) -> str:
    """The last part of a class name, as the tables have it: `botocore.errorfactory.ThrottlingException`."""
    if not error_class:
        return ""
    return _key(re.split(r"[.:$/#]", error_class.strip()[:256].rstrip(".:$/#"))[-1])


def _told(text: str) -> str | None:
    return next((kind for kind, pattern in _TEXTS if pattern.search(text, 0, TEXT_LIMIT)), None) if text else None


def _by_http(status: int | None) -> str | None:
    if status is None or not 400 <= status <= 599:
        return None
    return HTTP.get(status, "bad_request" if status < 500 else "provider_error")
