"""The API: health, sessions, reads for our pages, a person's SQL, commands, and JSON lists.

Lists are views (`observe sql "select * from incident"` says the same); a page computes nothing
that a view cannot say.

Source: our own.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from observe.app.commanding import incidents as incidents_of
from observe.errors import AccessError
from observe.server.bodies import json_object, text
from observe.server.document import describe
from observe.server.routing import Call, bearer

if TYPE_CHECKING:
    import polars as pl

ARROW = "application/vnd.apache.arrow.stream"
_TEXTS = {"details", "cause", "labels", "annotations", "parameters", "rejected", "receipt", "outcome"}
_LISTS = {
    "slos": "select * from slo_status order by budget_left nulls last, slo_id",
    "findings": "select * from finding order by window_end desc, finding_id limit 1000",
    "gpus": "select * from gpu_device order by cluster, node, gpu_index, device_id limit 10000",
    "actions": "select * from action order by state <> 'proposed', changed_at desc limit 1000",
    "budget": "select * from alarm_budget order by severity",
    "models": """
        select model_id, bool_or(declared) as declared, max(last_seen) as last_seen from (
          select unnest($declared::varchar[]) as model_id, true as declared, null::timestamptz as last_seen
          union all select model_id, false, max(ts) from attempt where ts > $since group by model_id
          union all select model_id, false, max(ts) from prediction where ts > $since group by model_id)
        where model_id is not null group by model_id order by model_id""",
}


async def healthz(call: Call) -> Response:
    """`GET /healthz`."""
    return JSONResponse({"status": "ok"})


async def readyz(call: Call) -> Response:
    """`GET /readyz`."""
    ready = call.core.ready.is_set()
    return JSONResponse({"status": "ok" if ready else "starting"}, 200 if ready else 503)


async def metrics(call: Call) -> Response:
    """`GET /metrics`."""
    body = await run_in_threadpool(call.core.exposition)
    return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")


async def openapi(call: Call) -> Response:
    """`GET /api/v1/openapi.json`."""
    return JSONResponse(describe(call.request.app.state.served))


async def open_session(call: Call) -> Response:
    """`POST /api/v1/sessions`."""
    body = await json_object(call)
    opened = await run_in_threadpool(call.core.people.open_session, text(body, "token"), text(body, "once"))
    return JSONResponse(opened)


async def close_session(call: Call) -> Response:
    """`DELETE /api/v1/sessions`."""
    await run_in_threadpool(call.core.people.close_session, bearer(call.request) or "")
    return Response(status_code=204)


async def one_time_code(call: Call) -> Response:
    """`POST /api/v1/codes`."""
    assert call.who is not None
    return JSONResponse({"once": await run_in_threadpool(call.core.people.one_time_code, call.who)})


async def read(call: Call) -> Response:
    """`POST /api/v1/read`: SQL of our own pages; the face's key says that it is ours."""
    key = call.request.headers.get("x-observe-face", "")
    if not hmac.compare_digest(key.encode(), call.core.face_key.encode()):
        raise AccessError("only the dashboards may read this way; people use /api/v1/sql")
    body = await json_object(call)
    ipc, watermark = await run_in_threadpool(
        call.core.people.read_ipc, str(body.get("sql", "")), body.get("params") or {}, body.get("window")
    )
    return Response(ipc, headers={"X-Observe-Watermark": watermark}, media_type=ARROW)


async def sql(call: Call) -> Response:
    """`POST /api/v1/sql`: {"sql", "fresh": bool} -> Arrow stream, with the watermark it answers for."""
    body = await json_object(call)
    answer, watermark = await run_in_threadpool(
        call.core.people.answer, str(body.get("sql", "")), bool(body.get("fresh", True))
    )
    headers = {"X-Observe-Watermark": watermark, "X-Observe-Truncated": str(answer.truncated).lower()}
    return Response(answer.arrow_ipc, headers=headers, media_type=ARROW)


async def command(call: Call) -> Response:
    """`POST /api/v1/commands`: {"verb", "object", "reason", "parameters"}."""
    assert call.who is not None
    body = await json_object(call)
    said = {name: text(body, name) for name in ("verb", "object", "reason")}
    if said["verb"] == "reload":
        done = await run_in_threadpool(call.core.reloading.now, call.who, said["reason"])
        return JSONResponse({"command_id": done.command_id, "ts": done.ts.isoformat(), **done.parameters}, 201)
    done = await run_in_threadpool(call.core.people.command, call.who, {**said, "parameters": body.get("parameters")})
    return JSONResponse({"command_id": done.command_id, "ts": done.ts.isoformat()}, 201)


async def _list(call: Call, name: str, params: Mapping[str, Any] | None = None) -> Response:
    return Response(await run_in_threadpool(_rows, call, _LISTS[name], params or {}), media_type="application/json")


def _rows(call: Call, query: str, params: Mapping[str, Any]) -> bytes:
    return _json(call.core.store.read(query, params))


def _json(frame: pl.DataFrame) -> bytes:
    """Rows as a JSON list; JSON text becomes what it says."""
    texts = _TEXTS & set(frame.columns)
    rows = [
        {k: _plain(json.loads(v) if k in texts and v else v) for k, v in r.items()} for r in frame.iter_rows(named=True)
    ]
    return json.dumps(rows, allow_nan=False).replace("<", "\\u003c").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return None if isinstance(value, float) and not isfinite(value) else value


async def slos(call: Call) -> Response:
    """`GET /api/v1/slos`."""
    return await _list(call, "slos")


async def findings(call: Call) -> Response:
    """`GET /api/v1/findings`."""
    return await _list(call, "findings")


async def incidents(call: Call) -> Response:
    """`GET /api/v1/incidents`."""
    rows = await run_in_threadpool(
        lambda: _json(incidents_of(call.core.store, call.core.clock.now(), call.core.config))
    )
    return Response(rows, media_type="application/json")


async def gpus(call: Call) -> Response:
    """`GET /api/v1/gpus`."""
    return await _list(call, "gpus")


async def actions(call: Call) -> Response:
    """`GET /api/v1/actions`."""
    return await _list(call, "actions")


async def config(call: Call) -> Response:
    """`GET /api/v1/config`."""
    return JSONResponse(await run_in_threadpool(call.core.reloading.told))


async def budget(call: Call) -> Response:
    """`GET /api/v1/budget`."""
    return await _list(call, "budget")


async def models(call: Call) -> Response:
    """`GET /api/v1/models`."""
    declared = sorted(call.core.config.models)
    return await _list(call, "models", {"declared": declared, "since": call.core.seen_since()})
