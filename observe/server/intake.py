"""Bodies from the network: inflate, parse, commit, answer; 200 only when the rows are durable.

Source: OTLP/HTTP specification 1.x ("Full Success", "Partial Success", "Failures"); LiteLLM
generic_api logger; our own formats for predictions, labels and events.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from observe.app import otlp
from observe.app.intake import Taken
from observe.errors import ObserveError
from observe.server.routing import Call

_INLINE = 256 * 1024  # bytes; larger bodies, inflated, are parsed in a thread so that the loop stays free
_INFLATED = 16  # how much larger than its wire size a compressed body is taken to be


async def _take(call: Call, kind: str, source: str, labels: Mapping[str, str]) -> Response:
    wire = await call.body()
    request = call.request
    told = {"content_type": request.headers.get("content-type", ""), **labels}
    encoding = request.headers.get("content-encoding", "")
    key = request.headers.get("idempotency-key", "")
    batch_id = hashlib.sha256(f"{source}\0{key}".encode()).hexdigest() if key else ""

    def work() -> Taken:
        return call.core.intake.take(kind, source, call.core.intake.inflate(wire, encoding), told, batch_id)

    taken = work() if _is_small(wire, encoding) else await run_in_threadpool(work)
    receipt = await asyncio.wrap_future(taken.receipt)
    stored = sum(receipt.stored.values())
    return JSONResponse({
        "stored": stored, "rejected": taken.reasons(receipt), "repaired": {**taken.parsed.notes, **receipt.notes},
        "examples": taken.parsed.examples, "duplicate": receipt.duplicate,
    })  # fmt: skip


def _is_small(wire: bytes, encoding: str) -> bool:
    return len(wire) * (_INFLATED if encoding not in {"", "identity"} else 1) <= _INLINE


async def litellm(call: Call) -> Response:
    """`POST /ingest/litellm`."""
    return await _take(call, "litellm", "litellm", {"cluster": call.request.query_params.get("cluster", "")})


async def predictions(call: Call) -> Response:
    """`POST /ingest/predictions/{model}`."""
    model = call.request.path_params["model"]
    return await _take(call, "predictions", f"predictions/{model}", {"model": model})


async def labels(call: Call) -> Response:
    """`POST /ingest/labels/{model}`."""
    model = call.request.path_params["model"]
    return await _take(call, "labels", f"labels/{model}", {"model": model})


async def events(call: Call) -> Response:
    """`POST /ingest/events`."""
    return await _take(call, "events", "events", {})


async def traces(call: Call) -> Response:
    """`POST /v1/traces`."""
    return await _otlp(call, "traces")


async def metrics(call: Call) -> Response:
    """`POST /v1/metrics`."""
    return await _otlp(call, "metrics")


async def logs(call: Call) -> Response:
    """`POST /v1/logs`."""
    return await _otlp(call, "logs")


async def _otlp(call: Call, signal: str) -> Response:
    content_type = call.request.headers.get("content-type", "")
    try:
        wire = await call.body()
        encoding = call.request.headers.get("content-encoding", "")

        def work() -> tuple[Taken | None, otlp.Answer]:
            return otlp.take(call.core.intake, signal, wire, content_type, encoding)

        taken, answer = work() if _is_small(wire, encoding) else await run_in_threadpool(work)
        if taken is not None:
            await asyncio.wrap_future(taken.receipt)
    except ObserveError as error:
        call.core.telemetry.refused.labels(f"/v1/{signal}", str(error.http_status)).inc()
        answer = otlp.refusal(error, content_type)
    return Response(answer.body, answer.status, dict(answer.headers))
