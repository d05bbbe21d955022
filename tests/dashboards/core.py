"""A development core: sessions and the read door over a seeded store, as the face process sees them.

Source: the HTTP part of ARCHITECTURE section 4.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import duckdb
import polars as pl
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import world
from observe.schema import TABLES

FACE_KEY, TOKEN, ONCE = "face-key", "obs-token", "once-code"
VIEWS = """
create view request as select coalesce(trace_id, source || attempt_id) as request_id, max(ts) as ts, min(ts_start) as ts_start,
  arg_max(model_id, ts) as model_id, arg_max(cluster, ts) as cluster, arg_max(team_id, ts) as team_id, arg_max(status, ts) as status,
  count(*) as attempts, epoch(max(ts) - min(ts_start)) as duration_s, arg_max(ttft_s, ts) as ttft_s, arg_max(tpot_s, ts) as tpot_s,
  bool_or(stream) as stream, arg_max(tokens_in, ts) as tokens_in, arg_max(tokens_out, ts) as tokens_out, sum(cost_usd) as cost_usd,
  bool_and(cost_known) as cost_known, arg_max(error_class, ts) as error_class, arg_max(http_status, ts) as http_status,
  arg_max(model_served, ts) as model_served, arg_max(provider, ts) as provider, arg_max(deployment_id, ts) as deployment_id
  from attempt group by 1;
create view gpu_5m as with d as (select time_bucket(interval 5 minutes, s.ts) as ts, s.cluster, d.model as sku, s.device_id, avg(util_ratio) as util,
  bit_or(coalesce(throttle_mask, 0)) & 232 <> 0 as throttled, avg(sm_clock_mhz) as clock, max(temp_c) as temp, avg(power_w) as power
  from gpu_sample s left join gpu_device d using (device_id) group by all)
  select ts, cluster, sku, count(*) as devices, avg(util) as util_mean, count(*) filter (util < 0.05) as idle_devices,
  count(*) filter (util >= 0.9) as saturated_devices, count(*) filter (throttled) as throttled_devices, avg(clock) as sm_clock_mean,
  max(temp) as temp_max, sum(power) as power_w_sum from d group by all;
create view slo_status as select model || '.' || subject as slo_id, model, subject as slo, window_end as "at", state, severity,
  cast(details->>'objective' as double) as objective, cast(details->>'window_s' as bigint) as window_s, cast(details->>'total' as bigint) as total,
  cast(details->>'bad' as bigint) as bad, cast(details->>'sli' as double) as sli, cast(details->>'budget_left' as double) as budget_left,
  cast(details->'burn'->>'5m' as double) as burn_5m, cast(details->'burn'->>'30m' as double) as burn_30m, cast(details->'burn'->>'1h' as double) as burn_1h,
  cast(details->'burn'->>'2h' as double) as burn_2h, cast(details->'burn'->>'6h' as double) as burn_6h, cast(details->'burn'->>'1d' as double) as burn_1d,
  cast(details->'burn'->>'3d' as double) as burn_3d, cast(details->>'phi' as double) as phi, details->>'tier' as tier, evidence_nats
  from finding where detector = 'burn' qualify row_number() over (partition by monitor_id order by window_end desc) = 1;
create view alarm_budget as select 'ticket' as severity, 1 as declared, 604800 as period_s, 1 as notified, 0 as false_marked, 1.0 as spent
  union all select 'page', 1, 7776000, 1, 0, 1.0;
create view queue_5m as select time_bucket(interval 5 minutes, ts) as ts, model_id, cluster, avg(queue_depth) as queue_mean, max(queue_depth) as queue_max,
  avg(running) as running_mean, avg(kv_util_ratio) as kv_mean, count(*) as samples from serving_sample group by all;
"""


class Lake:
    """Views of the product over an in-memory database; one cursor a read."""

    def __init__(self, tables: Mapping[str, pl.DataFrame], settings: Mapping[str, Any]) -> None:
        self.db = duckdb.connect(config={"threads": 2})
        self.db.execute("set TimeZone='UTC'")
        self.db.execute("create schema core; create table core.setting(key varchar, value json)")
        for name, table in TABLES.items():
            columns = ', '.join(f'"{c.name}" {c.sql}' for c in table.columns)
            self.db.execute(f"create table {name} ({columns})")
        for name, frame in tables.items():
            self.db.register("incoming", frame.to_arrow())
            self.db.execute(f"insert into {name} by name select * from incoming")
            self.db.unregister("incoming")
        for key, value in settings.items():
            self.db.execute("insert into core.setting values (?, ?)", [key, json.dumps(value)])
        self.db.execute(VIEWS)

    def read(self, sql: str, params: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """The answer to one query."""
        cursor = self.db.cursor()
        try:
            return cursor.sql(sql, params=dict(params or {})).pl()
        finally:
            cursor.close()


class Core:
    """Sessions and the read door; `reads` counts queries, `fail` makes every read answer 500."""

    def __init__(self, lake: Any) -> None:
        self.lake, self.sessions, self.reads, self.fail = lake, set[str](), 0, False
        self.app = Starlette(routes=[
            Route("/api/v1/sessions", self.session, methods=["POST"]),
            Route("/api/v1/read", self.answer, methods=["POST"]),
        ])  # fmt: skip

    async def session(self, request: Request) -> Response:
        body = await request.json()
        if body.get("token") != TOKEN and body.get("once") != ONCE:
            return JSONResponse({"error": "unknown token"}, 401)
        name = secrets.token_urlsafe(16)
        self.sessions.add(name)
        return JSONResponse({"session": name, "role": "viewer", "name": "me", "expires_at": "2026-12-01T00:00:00Z"})

    async def answer(self, request: Request) -> Response:
        if request.headers.get("x-observe-face") != FACE_KEY:
            return JSONResponse({"error": "not the face"}, 403)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.sessions:
            return JSONResponse({"error": "no session"}, 401)
        self.reads += 1
        body = await request.json()
        if self.fail:
            return JSONResponse({"error": "the store is closed"}, 503)
        try:
            frame = self.lake.read(body["sql"], body.get("params"))
        except duckdb.Error as error:
            return JSONResponse({"error": str(error)}, 400)
        out = BytesIO()
        frame.write_ipc_stream(out)
        return Response(out.getvalue(), headers={"X-Observe-Watermark": world.NOW.isoformat()}, media_type="application/vnd.apache.arrow.stream")


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of `app` while the block runs; an ephemeral loopback port."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
