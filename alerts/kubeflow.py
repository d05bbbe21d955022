"""A training as a run of a pipeline: Kubeflow Pipelines, `POST /apis/v2beta1/runs`.

The rule names the pipeline, by name or by id; its newest version runs unless `with: {version: …}` says which. A run
has no id of ours, so it is named `<pipeline>-<key>` and looked for before one is made: asked twice, it runs once.
The pipeline is told in one input of kind dict, `observe` unless `with: {parameter: …}` names it; `parameter: none`
hands over nothing, for Kubeflow refuses inputs that a pipeline does not declare.

    targets:
      kfp: {type: kubeflow, url: "https://kubeflow.example.com/pipeline", token: file:/run/secrets/kfp,
            with: {experiment: 3f…, namespace: ml}}

Source: Kubeflow Pipelines API v2beta1 (`run.swagger.json`, `pipeline.swagger.json`, `filter.proto`).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from alerts import asking
from alerts.asking import Call, Heard
from observe.errors import ConfigError
from observe.schema.acting import Receipt, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from observe.clock import Clock
    from observe.schema import Action
    from observe.spec.acting import Target

_RUNS: Final = "/apis/v2beta1/runs"
_PIPELINES: Final = "/apis/v2beta1/pipelines"
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OVER: Final = {"SUCCEEDED": True, "FAILED": False, "CANCELED": False, "SKIPPED": False}
_WORDS: Final = {
    401: "Kubeflow does not know us: is the token still right?",
    403: "Kubeflow does not let us run this: may the account create runs in the namespace?",
    404: "Kubeflow has no such pipeline, version or experiment",
    400: "Kubeflow refuses the run: does the pipeline declare the input it is given?",
}


def send(action: Action, target: Target, clock: Clock) -> Receipt:
    """Run the pipeline, unless a run of that name is there already."""
    try:
        bearer = asking.shown(target)
    except ConfigError as error:
        return Receipt(False, retry=True, text=error.message)
    name = f"{target.what}-{key_of(action)}"
    before = asking.heard(target, Call(f"{_RUNS}?{urlencode(_named(name, target))}", method="GET", bearer=bearer))
    if not before.ok or not before.understood:
        return before.receipt(_said(before))
    runs = before.json.get("runs")
    if runs:
        return _taken(runs[0] if isinstance(runs, list) else None, target, before, "had the run already")
    pipeline = _pipeline(target, bearer)
    if isinstance(pipeline, Heard):
        return pipeline.receipt(_said(pipeline))
    body = asking.written(_run(action, target, name, pipeline))
    answer = asking.heard(target, Call(_RUNS, body, headers={"Content-Type": asking.JSON}, bearer=bearer))
    if not answer.ok:
        return answer.receipt(_said(answer))
    return _taken(answer.json, target, answer, f"started run {name}")


def follow(action: Action, target: Target, clock: Clock) -> Receipt | None:
    """How the run ended; None while it waits or runs, is not found, or when Kubeflow cannot be asked."""
    run = (action.receipt or {}).get("remote_id")
    if not run:
        return None
    try:
        bearer = asking.shown(target)
    except ConfigError:
        return None
    answer = asking.heard(target, Call(f"{_RUNS}/{asking.part(str(run))}", method="GET", bearer=bearer))
    state = str(answer.json.get("state")) if answer.ok else ""
    if state not in _OVER:
        return None
    error = answer.json.get("error")
    why = f": {error['message']}" if isinstance(error, dict) and error.get("message") else ""
    text = asking.shortened(f"run {run}: {state.lower()}{why}", (bearer,))
    url = _page(target, str(run))
    return Receipt(True, status=answer.status, remote_id=str(run), text=text, url=url, done=_OVER[state])


def check(target: Target) -> tuple[bool | None, str]:
    """Whether Kubeflow knows us, and the pipeline where one is named; nothing is run.

    Raises:
        ConfigError: the token cannot be read.
    """
    bearer = asking.shown(target)
    if target.what:
        found = _pipeline(target, bearer)
        if isinstance(found, Heard):
            return asking.refused(_said(found), found)
        return True, f"knows pipeline {target.what}"
    answer = asking.heard(target, Call(f"{_PIPELINES}?page_size=1", method="GET", bearer=bearer), asking.CHECK_S)
    if answer.ok and answer.understood:
        return True, "answers and knows us"
    return asking.refused(_said(answer), answer)


def _pipeline(target: Target, bearer: str) -> str | Heard:
    """The id of the pipeline that the rule names; what came instead of one."""
    if _ID.fullmatch(target.what):
        return target.what
    where = urlencode({"namespace": target.spec.options["namespace"]}) if "namespace" in target.spec.options else ""
    path = f"{_PIPELINES}/names/{asking.part(target.what)}" + (f"?{where}" if where else "")
    answer = asking.heard(target, Call(path, method="GET", bearer=bearer))
    found = answer.json.get("pipeline_id")
    return found if answer.ok and isinstance(found, str) else answer


def _named(name: str, target: Target) -> Mapping[str, Any]:
    """The question for runs of one name."""
    only = {"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]}
    more = {"namespace": target.spec.options["namespace"]} if "namespace" in target.spec.options else {}
    experiment = {"experiment_id": target.spec.options["experiment"]} if "experiment" in target.spec.options else {}
    return {"page_size": 1, "filter": json.dumps(only), **more, **experiment}


def _run(action: Action, target: Target, name: str, pipeline: str) -> Mapping[str, Any]:
    options = target.spec.options
    which = {"pipeline_id": pipeline}
    if "version" in options:
        which["pipeline_version_id"] = options["version"]
    parameter = options.get("parameter", "observe")
    given = {} if parameter == "none" else {parameter: asking.told(action, target)}
    config = {"parameters": given, **({"pipeline_root": options["root"]} if "root" in options else {})}
    more = {"experiment_id": options["experiment"]} if "experiment" in options else {}
    account = {"service_account": options["serviceAccount"]} if "serviceAccount" in options else {}
    return {
        "display_name": name, "description": action.reason, "pipeline_version_reference": which, "runtime_config": config,
        **more, **account,
    }  # fmt: skip


def _taken(run: Any, target: Target, answer: Heard, text: str) -> Receipt:
    """That Kubeflow has the run, when it says which one it is."""
    run_id = run.get("run_id") if isinstance(run, dict) else None
    if not isinstance(run_id, str) or not run_id:
        return answer.receipt(_said(answer))
    return Receipt(True, status=answer.status, remote_id=run_id, text=text, url=_page(target, run_id))


def _page(target: Target, run: str) -> str:
    return f"{str(target.spec.url).rstrip('/')}/#/runs/details/{asking.part(run)}"


def _said(answer: Heard) -> str:
    """What a refusal means here."""
    return asking.refusal(answer, "Kubeflow", _WORDS)
