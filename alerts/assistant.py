"""The language model that may put incidents into other words: how it is asked, and whether it can be.

Source: OpenAI, "Chat completions" and "List models" (as vLLM, Ollama, LiteLLM and others serve them).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from alerts.posting import REPLY_CAP, Answer, Request, ask, hidden
from observe.spec.nearest import nearest

if TYPE_CHECKING:
    from observe.spec.assisting import AssistantSpec

COMPLETIONS: Final = "/chat/completions"
_MODELS: Final = "/models"
_LISTED: Final = 4 * 1024 * 1024  # bytes of a list of models that are read: routers serve hundreds
_NO_LIST: Final = (404, 405, 501)  # a server that only completes
_SHOWN: Final = 5  # of the models that a server lists, where none is alike
_LATEST: Final = ":latest"  # Ollama's own addition to a name without a tag


def request(spec: AssistantSpec, path: str, body: bytes = b"", method: str = "POST", cap: int = REPLY_CAP) -> Request:
    """A request to the server, with its token.

    Raises:
        ConfigError: the token cannot be read.
    """
    token = spec.token.resolve() if spec.token else ""
    headers = {"Content-Type": "application/json", "User-Agent": "observe"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    return Request(f"{spec.url.rstrip('/')}{path}", body, headers, method, (token,), spec.ca, cap)


def probe(spec: AssistantSpec, timeout_s: float) -> tuple[bool | None, str]:
    """Whether the server is there, takes the token and knows the model; nothing is told to it and nothing is written.

    Args:
        spec: the server, the model and the token.
        timeout_s: for each of at most two answers, s.

    Returns:
        True, None where it works and deserves a second look, or False; and why.

    Raises:
        ConfigError: the token cannot be read.
    """
    asked = request(spec, _MODELS, method="GET", cap=_LISTED)
    answer = ask(asked, timeout_s)
    if answer.reply.status in _NO_LIST:
        return _completes(spec, timeout_s)
    if not answer.reply.ok:
        return False, _refused(answer)
    names = _names(answer.text)
    if names is None:
        return False, "answers, but not as OpenAI's API does: GET /models gave no list of models"
    if spec.model in names or f"{spec.model}{_LATEST}" in names:
        return True, f"answers, and serves {spec.model}"
    return None, hidden(f"answers, and lists no model {spec.model!r}; {_hint(spec.model, names)}", asked.secrets)


def _completes(spec: AssistantSpec, timeout_s: float) -> tuple[bool | None, str]:
    """The same of a server that lists no models: a request for nothing is refused as such where there are completions."""
    answer = ask(request(spec, COMPLETIONS, b"{}"), timeout_s)
    if answer.reply.status in _NO_LIST:
        return False, f"no chat completions there (status {answer.reply.status}); does its address end in /v1?"
    if answer.reply.ok or answer.reply.status in (400, 422):
        return None, f"answers, and lists no models; the first incident shows whether it serves {spec.model}"
    return False, _refused(answer)


def _refused(answer: Answer) -> str:
    status, said = answer.reply.status, answer.reply.error or "no answer"
    if status in (401, 403):
        return f"does not take the token (status {status}): {said}"
    return said if status is None else f"answers with status {status}: {said}"


def _hint(model: str, names: list[str]) -> str:
    """Which it may be, or the first that there are; a router serves hundreds."""
    best = nearest(model, names)
    if best is not None:
        return f"did you mean {best!r}?"
    return f"there are {len(names)}: {', '.join(names[:_SHOWN])}" if names else "it lists none"


def _names(text: str) -> list[str] | None:
    """The ids of a list of models; None where it is none."""
    try:
        listed = json.loads(text)["data"]
        return [name for model in listed if (name := str(model["id"])).isprintable()]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
