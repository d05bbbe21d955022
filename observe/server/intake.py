"""Bodies from the network: inflate, parse, store, answer; 200 only when the rows are safe: stored, or spilled.

Source: OTLP/HTTP specification 1.x ("Full Success", "Partial Success", "Failures"); LiteLLM
generic_api logger; our own formats for predictions, labels and events.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from itertools import islice

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from observe.app import otlp
from observe.app.intake import Taken
from observe.app.pages import PUSHED, Page
from observe.errors import ObserveError
from observe.schema import Receipt
from observe.server.routing import Call, printable

_INLINE = 256 * 1024  # bytes; larger bodies, inflated, are parsed in a thread so that the loop stays free
_SLOW = {"cloudevents"}  # also small ones in a thread: a call becomes predictions while it is taken
_ATTRIBUTES, _ATTRIBUTE = 32, 1024  # attributes of a CloudEvent that are looked at, characters of each
_INFLATED = 16  # how much larger than its wire size a compressed body is taken to be


async def _take(call: Call, kind: str, source: str, labels: Mapping[str, str]) -> Response:
    wire = await call.body()
    request = call.request
    place = call.core.intake.place(kind, labels.get("cluster", ""))
    told = {"content_type": request.headers.get("content-type", ""), **labels, **place}
    encoding = request.headers.get("content-encoding", "")
    event = "\0".join(labels.get(f"ce-{name}", "") for name in ("source", "type", "id"))  # the same body is often sent
    key = request.headers.get("idempotency-key", "") or event.strip("\0")
    batch_id = hashlib.sha256(f"{source}\0{key}".encode()).hexdigest() if key else ""

    def work() -> Taken:
        return call.core.intake.take(kind, source, call.core.intake.inflate(wire, encoding), told, batch_id)

    inline = kind not in _SLOW and _size(wire, encoding) <= _INLINE
    taken = work() if inline else await call.pressure.run(_size(wire, encoding), work)
    await _safe(call, taken)
    return _answer(taken)


async def _safe(call: Call, taken: Taken) -> None:
    """Wait until the rows are stored, or spilled where a slow commit holds many up."""
    await asyncio.wrap_future(taken.receipt.safe())
    if not taken.receipt.done():
        call.core.telemetry.spilled.inc()


def _answer(taken: Taken) -> Response:
    """What became of a body whose rows are safe; `queued` are those that a slow commit holds up."""
    stored = taken.receipt.done()
    receipt = taken.wait() if stored else Receipt("", 0, {}, {})
    return JSONResponse({
        "stored": sum(receipt.stored.values()), "queued": 0 if stored else taken.rows,
        "rejected": taken.reasons(receipt), "repaired": {**taken.parsed.notes, **receipt.notes},
        "examples": {k: printable(v) for k, v in {**taken.parsed.examples, **receipt.examples}.items()}, "duplicate": receipt.duplicate,
    })  # fmt: skip


def _size(wire: bytes, encoding: str) -> int:
    """Bytes of a body when inflated, as far as they are known."""
    return len(wire) * (_INFLATED if encoding not in {"", "identity"} else 1)


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


async def exposition(call: Call) -> Response:
    """`POST /ingest/exposition`: a page of an agent; durable, and its faults known, when this answers."""
    wire, request, core = await call.body(), call.request, call.core
    target = request.query_params.get("target", "")[:200]
    content_type, cluster = request.headers.get("content-type", ""), request.query_params.get("cluster", "")[:200]
    labels = {"content_type": content_type, **core.intake.place(PUSHED, cluster)}
    encoding, key = request.headers.get("content-encoding", ""), request.headers.get("idempotency-key", "")
    batch_id = hashlib.sha256(f"exposition\0{cluster}\0{target}\0{key}".encode()).hexdigest() if key else ""

    def work() -> Page:
        page = core.intake.inflate(wire, encoding)
        return core.pages.read(PUSHED, target, page, core.intake.now(), labels, batch_id)

    page = await call.pressure.run(_size(wire, encoding), work)
    taken = await asyncio.wrap_future(core.pages.hand_in(page))  # waits in threads that no other request needs
    taken.wait()
    return _answer(taken)


async def cloudevents(call: Call) -> Response:
    """`POST /ingest/cloudevents`: structured, batched, or binary with the attributes in `ce-` headers."""
    headers = call.request.headers
    told = {k: v[:_ATTRIBUTE] for k, v in headers.items() if k.startswith("ce-")}
    return await _take(call, "cloudevents", "cloudevents", dict(islice(told.items(), _ATTRIBUTES)))


async def traces(call: Call) -> Response:
    """`POST /v1/traces`."""
    return await _otlp(call, "traces")


async def metrics(call: Call) -> Response:
    """`POST /v1/metrics`."""
    return await _otlp(call, "metrics")


async def logs(call: Call) -> Response:
    """`POST /v1/logs`."""
    return await _otlp(call, "logs")


async def _otlp(call: Call, signal: otlp.Signal) -> Response:
    content_type = call.request.headers.get("content-type", "")
    wire = await call.body()
    encoding = call.request.headers.get("content-encoding", "")

    def work() -> tuple[Taken, otlp.Answer]:
        return otlp.take(call.core.intake, signal, wire, content_type, encoding)

    size = _size(wire, encoding)
    taken, answer = work() if size <= _INLINE else await call.pressure.run(size, work)
    await _safe(call, taken)
    return Response(answer.body, answer.status, dict(answer.headers))


def otlp_refusal(error: ObserveError, request: Request) -> Response:
    """A refusal as google.rpc.Status, in the format the exporter sent; also when it may not come in at all."""
    answer = otlp.refusal(error, request.headers.get("content-type", ""))
    return Response(answer.body, answer.status, dict(answer.headers))
