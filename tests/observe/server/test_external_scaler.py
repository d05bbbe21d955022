"""KEDA's external scaler, asked by a real gRPC client; the API it asks is a local server."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from running import free_port

from observe.server.external_scaler import METRIC, Bridge, serve, unreachable
from observe.server.keda_messages import SERVICE, message

TOLD = {
    "/healthz": (200, {}),
    "/api/v1/scaling/chat": (200, {"desired": {"replicas": 4, "load_units": 3.1}}),
    "/api/v1/scaling/none": (200, {"desired": {"replicas": 0, "load_units": 0.0}}),
    "/api/v1/scaling/quiet": (503, {"error": "nobody tells its traffic"}),
    "/api/v1/scaling/cat": (404, {"error": "no model 'cat' is declared"}),
}


@pytest.fixture
def api() -> Iterator[tuple[str, list[str]]]:
    tokens: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.append(self.headers.get("Authorization", ""))
            status, body = TOLD[self.path]
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", tokens
    server.shutdown()
    server.server_close()


@contextmanager
def bridged(api: str, token: str = "own") -> Iterator[grpc.Channel]:
    listen, loop = f"127.0.0.1:{free_port()}", asyncio.new_event_loop()
    started, ended = asyncio.Event(), asyncio.Event()
    done = threading.Thread(
        target=loop.run_until_complete, args=(serve(Bridge(listen, api, token, 0.05), started, ended),)
    )
    done.start()
    asyncio.run_coroutine_threadsafe(started.wait(), loop).result(10)
    try:
        with grpc.insecure_channel(listen) as channel:
            yield channel
    finally:
        loop.call_soon_threadsafe(ended.set)
        done.join(10)
        loop.close()


def call(channel: grpc.Channel, method: str, request: object, response: str) -> object:
    ask = channel.unary_unary(f"/{SERVICE}/{method}", type(request).SerializeToString, message(response).FromString)
    return ask(request, timeout=5)


def ref(model: str, **more: str) -> object:
    return message("ScaledObjectRef")(name="vllm", namespace="prod", scalerMetadata={"model": model, **more})


def test_the_answer_of_the_api_is_handed_on(api: tuple[str, list[str]]) -> None:
    with bridged(api[0]) as channel:
        spec = call(channel, "GetMetricSpec", ref("chat"), "GetMetricSpecResponse").metricSpecs[0]
        asked = message("GetMetricsRequest")(scaledObjectRef=ref("chat"), metricName=spec.metricName)
        value = call(channel, "GetMetrics", asked, "GetMetricsResponse").metricValues[0]
        active = [call(channel, "IsActive", ref(m), "IsActiveResponse").result for m in ("chat", "none")]

    assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == (METRIC, 1, 1.0)
    assert (value.metricName, value.metricValue, value.metricValueFloat) == (METRIC, 4, 4.0)
    assert active == [True, False]


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("quiet", grpc.StatusCode.UNAVAILABLE),
        ("cat", grpc.StatusCode.NOT_FOUND),
        ("", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_what_the_api_does_not_say_is_an_error_with_its_reason(
    api: tuple[str, list[str]], model: str, code: grpc.StatusCode
) -> None:
    with bridged(api[0]) as channel, pytest.raises(grpc.RpcError) as refused:
        call(channel, "IsActive", ref(model), "IsActiveResponse")

    assert refused.value.code() is code
    assert refused.value.details()


def test_an_api_that_is_away_is_an_error_and_no_zero() -> None:
    with bridged(f"http://127.0.0.1:{free_port()}") as channel, pytest.raises(grpc.RpcError) as refused:
        call(channel, "GetMetrics", message("GetMetricsRequest")(scaledObjectRef=ref("chat")), "GetMetricsResponse")

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_triggers_token_is_used_before_our_own(api: tuple[str, list[str]]) -> None:
    with bridged(api[0]) as channel:
        call(channel, "IsActive", ref("chat"), "IsActiveResponse")
        call(channel, "IsActive", ref("chat", token="theirs"), "IsActiveResponse")
        call(channel, "IsActive", ref("chat", tokenFromEnv="resolved"), "IsActiveResponse")  # KEDA keeps the key

    assert api[1] == ["Bearer own", "Bearer theirs", "Bearer resolved"]


def test_a_stream_tells_what_changes(api: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOLD, "/api/v1/scaling/chat", (200, {"desired": {"replicas": 0}}))
    with bridged(api[0]) as channel:
        stream = channel.unary_stream(f"/{SERVICE}/StreamIsActive", message("ScaledObjectRef").SerializeToString, message("IsActiveResponse").FromString)  # fmt: skip
        heard = stream(ref("chat"), timeout=10)
        first = next(heard).result
        monkeypatch.setitem(TOLD, "/api/v1/scaling/chat", (200, {"desired": {"replicas": 2}}))
        second = next(heard).result
        heard.cancel()

    assert (first, second) == (False, True)


def test_the_command_serves_until_it_is_told_to_end(api: tuple[str, list[str]]) -> None:
    listen = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, "-m", "observe", "keda", "--listen", listen, "--api", api[0]]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    try:
        with grpc.insecure_channel(listen) as channel:
            grpc.channel_ready_future(channel).result(20)
            assert call(channel, "IsActive", ref("chat"), "IsActiveResponse").result
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=10)[1]
    assert process.returncode == 0
    assert f"external scaler on {listen}" in said
    assert "warning" not in said


def test_the_command_says_at_its_start_that_the_api_is_away_and_serves_errors() -> None:
    listen, api = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    argv = [sys.executable, "-m", "observe", "keda", "--listen", listen, "--api", api, "--quiet"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    try:
        with grpc.insecure_channel(listen) as channel:
            grpc.channel_ready_future(channel).result(60)
            with pytest.raises(grpc.RpcError) as refused:
                call(channel, "IsActive", ref("chat"), "IsActiveResponse")
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=10)[1]
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert said.startswith(f"warning: {api} does not answer: ConnectError")
    assert "KEDA is told UNAVAILABLE, never 0" in said


def test_an_address_that_is_another_servers_is_told(
    api: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOLD, "/healthz", (404, {}))

    assert asyncio.run(unreachable(Bridge("127.0.0.1:0", api[0]))).endswith("is it the service's own address?")
