"""The routes by which reports are asked for, listed and read.

A file goes out with a policy of its own: our pages run no script, Evidently's runs its own in a sandbox
without origin, and neither loads anything.

Source: our own; TRUST section 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from observe.app.people import written
from observe.errors import UsageError
from observe.schema import KeptReport, Window
from observe.server.routing import Call
from observe.spec.reporting import Format

TYPES: Final[Mapping[str, str]] = {
    "html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8", "json": "application/json",
}  # fmt: skip
SHUT: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
_LONGEST: Final = timedelta(days=366)


def told(report: KeptReport) -> Mapping[str, Any]:
    """A report as plain JSON."""
    return {
        k: v.isoformat().replace("+00:00", "Z") if isinstance(v, datetime) else v for k, v in asdict(report).items()
    }


async def kept(call: Call) -> Response:
    """`GET /api/v1/reports`."""
    reports = await run_in_threadpool(call.core.reports.kept)
    body = json.dumps([told(r) for r in reports]).replace("<", "\\u003c")
    return Response(body, media_type="application/json")


async def make(call: Call) -> Response:
    """`POST /api/v1/reports`: {"model", "from", "to", "formats": [...], "evidently": bool}; answers when it is made."""
    assert call.who is not None
    try:
        body = json.loads(await call.body() or b"{}")
        model, evidently, formats = (
            body["model"],
            body.get("evidently", True),
            body.get("formats", ["html", "md", "json"]),
        )
        period = Window(*(_instant(body[name]) for name in ("from", "to")))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise UsageError('a report needs {"model": "fraud", "from": "2026-11-14", "to": "2026-11-21"}') from error
    if not isinstance(model, str) or not isinstance(evidently, bool) or not isinstance(formats, list):
        raise UsageError("model must be text, evidently true or false, formats a list")
    if not formats or not all(isinstance(f, str) and f in get_args(Format) for f in formats):
        raise UsageError(f"formats are some of {', '.join(get_args(Format))}")
    if not timedelta(0) < period.length <= _LONGEST:
        raise UsageError("from must lie before to, at most a year")
    return JSONResponse(told(await run_in_threadpool(_make, call, model, period, (tuple(formats), evidently))), 201)


def _make(call: Call, model: str, period: Window, how: tuple[tuple[str, ...], bool]) -> KeptReport:
    assert call.who is not None
    core = call.core
    said = {
        "verb": "report",
        "object": model[:200],
        "reason": None,
        "parameters": {"from": str(period.start), "to": str(period.end)},
    }
    with core.store.change() as tx:
        written(tx, core.clock.now(), call.who, said)
    return core.reports.by_hand(model, period, how[0], evidently=how[1])


async def file(call: Call) -> Response:
    """`GET /api/v1/reports/{report_id}/{name}`."""
    params = call.request.path_params
    try:
        path = await run_in_threadpool(call.core.reports.file, params["report_id"], params["name"])
    except UsageError as error:
        return JSONResponse({"error": str(error), "kind": "UsageError"}, 404)
    content = await run_in_threadpool(path.read_bytes)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": SHUT}
    return Response(content, headers=headers, media_type=TYPES[path.suffix[1:]])


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
