"""KEDA's external scaler over gRPC: a bridge that asks `GET /api/v1/scaling/{model}` and hands the answer on.

Who may know is decided by the API: the token comes from the trigger (`tokenFromEnv`), else it is the bridge's own, which
is only used while nobody but this machine can reach it. What the API does not say is an error here, too; KEDA then
keeps to its fallback.

Source: KEDA 2.15 documentation, "External Scalers"; gRPC status codes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from observe.errors import UsageError
from observe.server.keda_messages import SERVICE, message
from observe.spec.site import is_loopback

if TYPE_CHECKING:
    import httpx

METRIC: Final = "observe-replicas"
EXTRA: Final = "the external scaler needs grpcio: pip install 'observe[keda]'"
_CODES: Final[Mapping[int, str]] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    503: "UNAVAILABLE",
}


@dataclass(frozen=True, slots=True)
class Bridge:
    """Where the bridge listens, whom it asks, and how often a stream looks."""

    listen: str
    api: str
    token: str = ""
    every_s: float = 5.0
    timeout_s: float = 5.0


class Refused(Exception):
    """The API did not say a number: a gRPC code and why."""

    def __init__(self, code: str, said: str) -> None:
        super().__init__(said)
        self.code, self.said = code, said


class Scaler:
    """The four methods, by the API's answers."""

    def __init__(self, bridge: Bridge, client: httpx.AsyncClient) -> None:
        self._bridge, self._client = bridge, client
        self._own = bridge.token if is_loopback(bridge.listen) else ""

    async def replicas(self, ref: Any) -> int:
        """What the API says about the model that a trigger names.

        Raises:
            Refused: it says no number.
        """
        import httpx

        metadata = dict(ref.scalerMetadata)
        if not metadata.get("model"):
            raise Refused("INVALID_ARGUMENT", "the trigger's metadata has no model")
        # KEDA puts the value of the variable in the place of its name: the key stays tokenFromEnv
        token = metadata.get("tokenFromEnv") or metadata.get("token") or self._own
        path = f"{self._bridge.api}/api/v1/scaling/{quote(metadata['model'], safe='')}"
        try:
            answer = await self._client.get(path, headers={"Authorization": f"Bearer {token}"} if token else {})
            told = answer.json()
            if answer.status_code == 200:
                return int(told["desired"]["replicas"])
            raise Refused(_CODES.get(answer.status_code, "UNAVAILABLE"), str(told.get("error", answer.status_code)))
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused(
                "UNAVAILABLE", f"{self._bridge.api} did not answer: {type(error).__name__}: {error}"
            ) from error

    async def is_active(self, request: Any, context: Any) -> Any:
        """Whether there is to be any replica."""
        return message("IsActiveResponse")(result=await self._told(request, context) > 0)

    async def stream_is_active(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """The same whenever it changes, until the other side is gone."""
        before: bool | None = None
        while True:
            active = await self._told(request, context) > 0
            if active != before:
                yield message("IsActiveResponse")(result=active)
            before = active
            await asyncio.sleep(self._bridge.every_s)

    async def get_metric_spec(self, request: Any, context: Any) -> Any:
        """One metric, of which each replica carries one."""
        spec = message("MetricSpec")(metricName=METRIC, targetSize=1, targetSizeFloat=1.0)
        return message("GetMetricSpecResponse")(metricSpecs=[spec])

    async def get_metrics(self, request: Any, context: Any) -> Any:
        """The number of replicas."""
        n = await self._told(request.scaledObjectRef, context)
        value = message("MetricValue")(
            metricName=request.metricName or METRIC, metricValue=n, metricValueFloat=float(n)
        )
        return message("GetMetricsResponse")(metricValues=[value])

    async def _told(self, ref: Any, context: Any) -> int:
        import grpc

        try:
            return await self.replicas(ref)
        except Refused as why:
            await context.abort(grpc.StatusCode[why.code], why.said)
            raise


async def unreachable(bridge: Bridge) -> str:
    """Why the service does not answer at that address now; "" when it does."""
    import httpx

    try:
        async with httpx.AsyncClient(timeout=bridge.timeout_s, trust_env=False) as client:
            status = (await client.get(f"{bridge.api}/healthz")).status_code
    except httpx.HTTPError as error:
        return f"{bridge.api} does not answer: {type(error).__name__}: {error}"
    return "" if status == 200 else f"{bridge.api} answers {status} to /healthz: is it the service's own address?"


async def serve(bridge: Bridge, started: asyncio.Event | None = None, ended: asyncio.Event | None = None) -> None:
    """Answer until `ended` is set.

    Raises:
        UsageError: grpcio is not installed, or the address is taken.
    """
    try:
        import grpc
    except ImportError as error:
        raise UsageError(EXTRA) from error
    import httpx

    async with httpx.AsyncClient(timeout=bridge.timeout_s, trust_env=False) as client:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_handlers(Scaler(bridge, client)),))
        try:
            server.add_insecure_port(bridge.listen)
        except RuntimeError as error:
            raise UsageError(f"{bridge.listen} cannot be listened on: {error}") from error
        await server.start()
        if started is not None:
            started.set()
        try:
            await (ended or asyncio.Event()).wait()
        finally:
            await server.stop(grace=1.0)


def _handlers(scaler: Scaler) -> Any:
    import grpc

    def of(method: Any, request: str, response: str, *, stream: bool = False) -> Any:
        make = grpc.unary_stream_rpc_method_handler if stream else grpc.unary_unary_rpc_method_handler
        return make(method, message(request).FromString, message(response).SerializeToString)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "IsActive": of(scaler.is_active, "ScaledObjectRef", "IsActiveResponse"),
            "StreamIsActive": of(scaler.stream_is_active, "ScaledObjectRef", "IsActiveResponse", stream=True),
            "GetMetricSpec": of(scaler.get_metric_spec, "ScaledObjectRef", "GetMetricSpecResponse"),
            "GetMetrics": of(scaler.get_metrics, "GetMetricsRequest", "GetMetricsResponse"),
        },
    )
