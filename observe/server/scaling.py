"""`GET /api/v1/scaling/{model}`: how many replicas a model needs, for KEDA's metrics-api scaler.

An answer that cannot be given is 503 with a reason, never 0: KEDA then keeps to its fallback.

Source: KEDA 2.15 documentation, "Metrics API" scaler: `valueLocation: desired.replicas`.
"""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from observe.server.routing import Call
from observe.spec.nearest import did_you_mean


async def desired(call: Call) -> Response:
    """`GET /api/v1/scaling/{model}`; answered from memory."""
    model = call.request.path_params["model"]
    loads = call.core.loads
    answer = loads.answer(model)
    if answer is None:
        hint = did_you_mean(model, call.core.config.models) or "declare it in models/*.yaml"
        return JSONResponse({"error": f"no model {model!r} is declared; {hint}", "kind": "UnknownModel"}, 404)
    loads.read_by_scaler(model)
    headers = {} if answer.sure else {"Retry-After": "15"}
    return JSONResponse(answer.body(), 200 if answer.sure else 503, headers)
