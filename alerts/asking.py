"""One request to a target of `observe.actions`: credentials, trust and deadline as its spec says, and what the answer means.

A trainer may ask for a login first, so whom we are is decided by each sink; how it is shown, whom we believe and how
long it may take is the same everywhere. Nothing that an answer repeats of a secret is kept.

Source: RFC 6750 (bearer), RFC 9110; TRUST section 2, "webhooks out".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from alerts.posting import SHOWN, Answer, Request, ask, hidden
from alerts.webhook import reached
from alerts.wording import instant
from observe.errors import ConfigError
from observe.schema import Action, Json
from observe.schema.acting import Receipt, key_of

if TYPE_CHECKING:
    from observe.spec.acting import Target

JSON: Final = "application/json"
CHECK_S: Final = 8.0  # of a look whether somebody is there
_UNTOLD: Final = ("approve", "held", "performance_state")  # of parameters: ours alone
_CAP: Final = 1024 * 1024  # bytes of an answer: a run of Airflow or Kubeflow repeats what it was given
_RENEWED: Final = 401  # a token can be replaced while we run


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a target, below its address."""

    path: str = ""
    body: bytes = b""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    bearer: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)  # besides: in the body


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back: the status (None: nobody answered), the JSON object where it was one, and the error as words."""

    status: int | None
    ok: bool
    retry: bool
    json: Mapping[str, Any]
    error: str = ""
    understood: bool = True  # whether it was a JSON object

    def receipt(self, said: str, *, retry: bool | None = None) -> Receipt:
        """What was not taken, with our words before the other side's.

        A 2xx that is not what was asked for (a login page, a proxy's) says nothing of the request: it is tried again.
        """
        more = f": {self.error}" if self.error else ""
        again = (self.retry or self.ok) if retry is None else retry
        return Receipt(False, retry=again, status=self.status, text=f"{said}{more}"[:SHOWN])


def heard(target: Target, call: Call, timeout_s: float | None = None) -> Heard:
    """Ask it once; what the other side does is an answer, never an exception.

    Args:
        target: whose address, authorities and deadline.
        call: what to ask.
        timeout_s: instead of the target's deadline, s.
    """
    answer = answered(target, call, timeout_s)
    reply = answer.reply
    again = reply.retry or reply.status == _RENEWED
    found = _object(answer)
    why = "" if reply.ok else shortened(_words(found) or reply.error or "", (call.bearer, *call.secrets))
    return Heard(reply.status, reply.ok, again, found or {}, why, found is not None)


def answered(target: Target, call: Call, timeout_s: float | None = None) -> Answer:
    """The same, as it came."""
    spec = target.spec
    headers = {"User-Agent": "observe", "Accept": JSON, **call.headers}
    if call.bearer:
        headers["Authorization"] = f"Bearer {call.bearer}"
    url = f"{str(spec.url).rstrip('/')}{call.path}" if call.path else str(spec.url)
    secrets = (call.bearer, *call.secrets)
    request = Request(url, call.body, headers, call.method, secrets, spec.ca, _CAP, spec.cert, spec.key)
    return ask(request, timeout_s or spec.timeout_s)


@dataclass(frozen=True, slots=True)
class Words:
    """What people are told of an answer: that it was taken, what a status means there, and of any other."""

    taken: str
    otherwise: str
    meant: Mapping[int, str] = field(default_factory=dict)


def handed(target: Target, key: str, made: Callable[[], Call], words: Words) -> Receipt:
    """Ask once what a sink makes; who takes it knows it by its key.

    Args:
        target: who is asked.
        key: of the action.
        made: the request; a secret of it that cannot be read now is read again at the next try.
        words: for people.
    """
    try:
        call = made()
    except ConfigError as error:
        return Receipt(False, retry=True, text=error.message)
    answer = heard(target, call)
    if not answer.ok:
        return answer.receipt(words.meant.get(answer.status or 0, words.otherwise))
    return Receipt(True, status=answer.status, remote_id=key, text=words.taken)


def headed(target: Target, what: str) -> tuple[bool | None, str]:
    """Whether an address that only takes a POST answers, and what it is shown can be read.

    Raises:
        ConfigError: the token cannot be read.
    """
    return reached(answered(target, Call(method="HEAD", bearer=shown(target)), CHECK_S), what)


def refused(said: str, answer: Heard) -> tuple[bool, str]:
    """What a check says of an answer that is none: our words, then theirs."""
    return False, ": ".join(filter(None, (said, answer.error)))


def shown(target: Target) -> str:
    """The bearer token a target is given; "" when it takes none.

    Raises:
        ConfigError: it cannot be read.
    """
    return target.spec.token.resolve() if target.spec.token else ""


def told(action: Action, target: Target) -> Json:
    """What every trainer is told of an action: one JSON object, the same at every try.

    Returns:
        What to do with which model and why, the rule's parameters (features that moved, since when, effect, what the
        labels say, rows to train on), the incident and its link, the key, and the event that answers it.
    """
    key = key_of(action)
    rest = {k: v for k, v in action.parameters.items() if k not in _UNTOLD}
    return {
        **rest, "key": key, "action_id": action.action_id, "do": action.kind, "what": target.what, "model": action.model,
        "incident_id": action.incident_id, "reason": action.reason, "approved_by": action.approved_by,
        "expires_at": instant(action.expires_at),
        "answer": {"kind": "trained", "model_id": action.model, "caused_by": key, "after": "<the new version>"},
    }  # fmt: skip


def written(document: Mapping[str, Any]) -> bytes:
    """A document as JSON; the same bytes for the same document."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def part(text: str) -> str:
    """A name as one part of a path.

    >>> part("retrain/chat")
    'retrain%2Fchat'
    """
    return quote(text, safe="")


def shortened(text: str, secrets: Sequence[str]) -> str:
    r"""What the other side said in one line, its secrets hidden before it is cut.

    >>> shortened("no such\n  key: abc", ["abc"])
    'no such key: (hidden)'
    """
    return " ".join(hidden(text, secrets).split())[:SHOWN]


def refusal(answer: Heard, whom: str, known: Mapping[int, str]) -> str:
    """What an answer that took nothing means: by its status as `known` has it, or that somebody else answered."""
    if answer.ok:
        return f"{whom} answered without what was asked for: is this its address, and no login page before it?"
    return known.get(answer.status or 0, f"{whom} did not take it")


def _object(answer: Answer) -> Mapping[str, Any] | None:
    try:
        found = json.loads(answer.text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _words(found: Mapping[str, Any] | None) -> str:
    """What the other side said is wrong: FastAPI's `detail`, gRPC's and others' `message` or `error`."""
    said = ((found or {}).get(name) for name in ("detail", "message", "error_message", "error"))
    return next((text for text in said if isinstance(text, str) and text), "")
