"""The demo's live traffic over the real protocols: LiteLLM payloads, OTLP spans, NDJSON predictions.

Source: LiteLLM StandardLoggingPayload 1.109; OTel GenAI semantic conventions; our own NDJSON.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from observe.demo.history import PREDICTIONS_PER_S, attempt_rows, prediction_rows
from observe.demo.world import LLMS, Llm, Plan, arrivals

_LOG = logging.getLogger("observe.demo")


class Traffic:
    """Sends what happened since the last call: LLM 0 by LiteLLM, the others by OTLP, predictions by NDJSON."""

    def __init__(self, plan: Plan, api: str, otlp: str, token: str) -> None:
        self._plan, self._api, self._otlp = plan, api, otlp
        self._client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=10, trust_env=False)
        self._rng = np.random.default_rng()
        self._run = secrets.token_hex(3)
        self._sent = plan.now.timestamp() - 60

    def send(self, now: float) -> None:
        """Send everything that began in (last call, now - 5 s]; failures are logged and not repeated."""
        start, end = self._sent, now - 5
        if end <= start:
            return
        self._sent = end
        for i, llm in enumerate(LLMS):
            t = arrivals(llm.rate_per_s, start, end, self._rng)
            if t.size:
                rows = attempt_rows(llm, t, self._plan, self._rng, f"{self._run}{int(start)}").to_dicts()
                rows = [r for r in rows if r["ts"].timestamp() <= now + 300]
                if i == 0:
                    self._post(
                        f"{self._api}/ingest/litellm?cluster={llm.cluster}",
                        json.dumps([litellm(r) for r in rows]).encode(),
                        "application/json",
                    )
                else:
                    self._post(
                        f"{self._otlp}/v1/traces", otlp_request(llm, rows).SerializeToString(), "application/x-protobuf"
                    )
        t = arrivals(PREDICTIONS_PER_S, start, end, self._rng)
        if t.size:
            rows = prediction_rows(t, self._plan, self._rng, f"{self._run}{int(start)}-").to_dicts()
            lines = "\n".join(json.dumps({**r, "ts": r["ts"].isoformat()}) for r in rows)
            self._post(f"{self._api}/ingest/predictions/fraud", lines.encode(), "application/x-ndjson")

    def _post(self, url: str, body: bytes, content_type: str) -> None:
        try:
            answer = self._client.post(url, content=body, headers={"Content-Type": content_type})
            if answer.status_code != 200:
                _LOG.warning("event=refused url=%s status=%s body=%s", url, answer.status_code, answer.text[:200])
        except httpx.HTTPError as error:
            _LOG.warning("event=unreachable url=%s error=%r", url, error)


def litellm(row: Mapping[str, Any]) -> dict[str, Any]:
    """One attempt as LiteLLM's generic_api logger writes it."""
    start, end = row["ts_start"].timestamp(), row["ts"].timestamp()
    failed = row["status"] == "error"
    payload: dict[str, Any] = {
        "id": row["attempt_id"], "trace_id": row["trace_id"], "call_type": "acompletion", "stream": True,
        "status": "failure" if failed else "success", "custom_llm_provider": row["provider"],
        "model": row["model_served"], "model_group": row["model_requested"], "model_id": row["deployment_id"],
        "prompt_tokens": row["tokens_in"] or 0, "completion_tokens": row["tokens_out"] or 0,
        "total_tokens": (row["tokens_in"] or 0) + (row["tokens_out"] or 0),
        "startTime": start, "completionStartTime": start + (row["ttft_s"] or 0.0), "endTime": end,
        "response_time": row["ttft_s"] or 0.0, "response_cost": 0.0 if failed else row["cost_usd"],
        "cost_breakdown": None if failed else {"total_cost": row["cost_usd"]}, "cache_hit": False,
        "metadata": {"user_api_key_team_id": row["team_id"]}, "request_tags": [],
    }  # fmt: skip
    if failed:
        payload["error_information"] = {
            "error_code": "500",
            "error_class": "InternalServerError",
            "llm_provider": row["provider"],
        }
    return payload


def otlp_request(llm: Llm, rows: list[dict[str, Any]]) -> ExportTraceServiceRequest:
    """Attempts as OTLP GenAI client spans."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend(_attributes({"service.name": "gateway", "k8s.cluster.name": llm.cluster}))
    spans = resource.scope_spans.add()
    for row in rows:
        span = spans.spans.add(
            trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8), name=f"chat {llm.name}", kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=int(row["ts_start"].timestamp() * 1e9), end_time_unix_nano=int(row["ts"].timestamp() * 1e9),
        )  # fmt: skip
        span.attributes.extend(_attributes({
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": row["provider"], "gen_ai.request.model": llm.name,
            "gen_ai.response.model": llm.name, "gen_ai.request.stream": True,
            "gen_ai.response.time_to_first_chunk": row["ttft_s"], "gen_ai.usage.input_tokens": row["tokens_in"],
            "gen_ai.usage.output_tokens": row["tokens_out"], "gen_ai.usage.cost": row["cost_usd"], "litellm.team.id": row["team_id"],
        }))  # fmt: skip
        if row["status"] == "error":
            span.status.code = Status.STATUS_CODE_ERROR
            span.attributes.extend(_attributes({"error.type": row["error_class"]}))
    return request


def _attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    made = []
    for key, value in values.items():
        if isinstance(value, bool):
            made.append(KeyValue(key=key, value=AnyValue(bool_value=value)))
        elif isinstance(value, int):
            made.append(KeyValue(key=key, value=AnyValue(int_value=value)))
        elif isinstance(value, float):
            made.append(KeyValue(key=key, value=AnyValue(double_value=value)))
        elif value is not None:
            made.append(KeyValue(key=key, value=AnyValue(string_value=str(value))))
    return made
