"""The routes of the core: what there is, and who may call it.

Source: ARCHITECTURE section 4; our own.
"""

from __future__ import annotations

from observe.server import api, intake
from observe.server.routing import Served


def otlp_routes() -> tuple[Served, ...]:
    """OTLP/HTTP; served by the API listener and, alone, by the OTLP listener."""
    return (
        Served("POST", "/v1/traces", "ingest", intake.traces, "OTLP traces, protobuf or JSON, gzip"),
        Served("POST", "/v1/metrics", "ingest", intake.metrics, "OTLP metrics: accepted, counted, not stored yet"),
        Served("POST", "/v1/logs", "ingest", intake.logs, "OTLP logs: accepted, counted, not stored yet"),
    )


def api_routes() -> tuple[Served, ...]:
    """Intake, API and metrics."""
    return (
        *otlp_routes(),
        Served("POST", "/ingest/litellm", "ingest", intake.litellm, "LiteLLM generic_api: json_array, ndjson, single"),
        Served("POST", "/ingest/predictions/{model}", "ingest", intake.predictions, "Predictions: NDJSON or Parquet"),
        Served("POST", "/ingest/labels/{model}", "ingest", intake.labels, "Labels: NDJSON or Parquet"),
        Served("POST", "/ingest/events", "ingest", intake.events, "Change events: JSON"),
        Served("GET", "/healthz", "public", api.healthz, "The process answers"),
        Served("GET", "/readyz", "public", api.readyz, "Rows would be taken now"),
        Served("GET", "/metrics", "viewer", api.metrics, "Prometheus exposition of Observe, its SLOs and findings"),
        Served("GET", "/api/v1/openapi.json", "viewer", api.openapi, "This API"),
        Served("POST", "/api/v1/sessions", "public", api.open_session, "A token or one-time code becomes a session"),
        Served("DELETE", "/api/v1/sessions", "viewer", api.close_session, "End the session"),
        Served("POST", "/api/v1/codes", "admin", api.one_time_code, "A one-time code for a browser"),
        Served("POST", "/api/v1/tokens", "admin", api.new_token, "A token for somebody else, shown once"),
        Served("POST", "/api/v1/read", "viewer", api.read, "Queries of our own pages, as Arrow; needs the face's key"),
        Served("POST", "/api/v1/sql", "sql", api.sql, "A person's SQL, in a sandbox"),
        Served("POST", "/api/v1/commands", "operator", api.command, "What a person does, recorded before it acts"),
        Served("GET", "/api/v1/models", "viewer", api.models, "Models, declared and seen"),
        Served("GET", "/api/v1/slos", "viewer", api.slos, "SLO status"),
        Served("GET", "/api/v1/findings", "viewer", api.findings, "Latest findings"),
        Served("GET", "/api/v1/incidents", "viewer", api.incidents, "Incidents, newest first"),
        Served("GET", "/api/v1/gpus", "viewer", api.gpus, "GPUs as last seen"),
        Served("GET", "/api/v1/actions", "viewer", api.actions, "Proposed actions"),
        Served("GET", "/api/v1/budget", "viewer", api.budget, "False-alarm budget, declared and spent"),
    )
