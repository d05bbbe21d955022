"""A training as a run of a DAG: Apache Airflow 3, `POST /api/v2/dags/{dag}/dagRuns`.

The run's id is the action's key, so Airflow itself refuses to run it twice: 409 means it has it. `logical_date` must be
in the body and is null, for the run stands for no interval. What the DAG is told lies in `dag_run.conf`. With a user
and a password a token is fetched from `/auth/token` for each request; a token of yours is used as it is.

    targets:
      airflow: {type: airflow, url: "https://airflow.example.com", username: observe, password: env:AIRFLOW_PASSWORD}

Source: Airflow 3 stable REST API (`TriggerDAGRunPostBody`, `DAGRunResponse`), "Generate JWT token".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alerts import asking
from alerts.asking import Call, Heard
from observe.errors import ConfigError
from observe.schema.acting import Receipt, key_of

if TYPE_CHECKING:
    from observe.clock import Clock
    from observe.schema import Action
    from observe.spec.acting import Target

_HAS_IT: Final = 409
_NOTE: Final = 1000  # characters Airflow keeps of a note
_JSON: Final = {"Content-Type": asking.JSON}
_WORDS: Final = {
    401: "Airflow does not know us: is the token or the password still right?",
    403: "Airflow does not let us trigger this DAG: give the user the right to create runs of it",
    404: "Airflow has no such DAG: is it deployed, parsed without an error, and named in the rule as there?",
    400: "Airflow refuses the run",
    422: "Airflow does not take the request: is it Airflow 3?",
}
_OVER: Final = {"success": True, "failed": False}


def send(action: Action, target: Target, clock: Clock) -> Receipt:
    """Trigger the DAG once, and say what became of it."""
    try:
        bearer = _token(target)
    except ConfigError as error:
        return Receipt(False, retry=True, text=error.message)
    if isinstance(bearer, Heard):
        return bearer.receipt(_said(bearer))
    key = key_of(action)
    body = {"dag_run_id": key, "logical_date": None, "conf": asking.told(action, target), "note": action.reason[:_NOTE]}
    call = Call(_runs(target), asking.written(body), headers={**_JSON, "Idempotency-Key": key}, bearer=bearer)
    answer = asking.heard(target, call)
    if answer.status != _HAS_IT and not (answer.ok and answer.json.get("dag_run_id") == key):
        return answer.receipt(_said(answer))
    text = "had the run already" if answer.status == _HAS_IT else f"started run {key} of {target.what}"
    return Receipt(True, status=answer.status, remote_id=key, text=text, url=_page(target, key))


def follow(action: Action, target: Target, clock: Clock) -> Receipt | None:
    """How the run ended; None while it waits or runs, is not found, or when Airflow cannot be asked."""
    run = str((action.receipt or {}).get("remote_id") or key_of(action))
    try:
        bearer = _token(target)
    except ConfigError:
        return None
    if isinstance(bearer, Heard):
        return None
    answer = asking.heard(target, Call(f"{_runs(target)}/{asking.part(run)}", method="GET", bearer=bearer))
    state = answer.json.get("state") if answer.ok else None
    if state not in _OVER:
        return None
    text, url = f"run {run} of {target.what}: {state}", _page(target, run)
    return Receipt(True, status=answer.status, remote_id=run, text=text, url=url, done=_OVER[str(state)])


def check(target: Target) -> tuple[bool | None, str]:
    """Whether Airflow knows us, and the DAG where one is named; nothing is run.

    Raises:
        ConfigError: a secret cannot be read.
    """
    bearer = _token(target, asking.CHECK_S)
    if isinstance(bearer, Heard):
        return asking.refused(_said(bearer), bearer)
    path = f"/api/v2/dags/{asking.part(target.what)}" if target.what else "/api/v2/dags?limit=1"
    answer = asking.heard(target, Call(path, method="GET", bearer=bearer), asking.CHECK_S)
    if not answer.ok or not answer.understood:
        return asking.refused(_said(answer), answer)
    if answer.json.get("is_paused") is True:
        return None, f"DAG {target.what} is paused: a run would wait until somebody unpauses it"
    return True, f"knows DAG {target.what}" if target.what else "answers and knows us"


def _token(target: Target, timeout_s: float | None = None) -> str | Heard:
    """The bearer token; what came instead of one.

    Raises:
        ConfigError: a secret cannot be read.
    """
    spec = target.spec
    if spec.username is None or spec.password is None:
        return asking.shown(target)
    password = spec.password.resolve()
    login = asking.written({"username": spec.username, "password": password})
    answer = asking.heard(target, Call("/auth/token", login, headers=_JSON, secrets=(password,)), timeout_s)
    token = answer.json.get("access_token")
    return token if answer.ok and isinstance(token, str) else answer


def _runs(target: Target) -> str:
    return f"/api/v2/dags/{asking.part(target.what)}/dagRuns"


def _page(target: Target, run: str) -> str:
    return f"{str(target.spec.url).rstrip('/')}/dags/{asking.part(target.what)}/runs/{asking.part(run)}"


def _said(answer: Heard) -> str:
    """What a refusal means here."""
    return asking.refusal(answer, "Airflow", _WORDS)
