"""The routes of the core: what there is, and who may call it.

Source: ARCHITECTURE section 4; our own.
"""

from __future__ import annotations

from observe.server import api, bundles, importing, intake, keeping, reports, scaling, tokens
from observe.server.routing import Served


def otlp_routes() -> tuple[Served, ...]:
    """OTLP/HTTP; served by the API listener and, alone, by the OTLP listener."""
    refuse = intake.otlp_refusal
    return (
        Served("POST", "/v1/traces", "ingest", intake.traces, "OTLP traces, protobuf or JSON, gzip", refuse),
        Served("POST", "/v1/metrics", "ingest", intake.metrics, "OTLP metrics, protobuf or JSON, gzip", refuse),
        Served("POST", "/v1/logs", "ingest", intake.logs, "OTLP logs of WARN and above, as templates", refuse),
    )


def api_routes() -> tuple[Served, ...]:
    """Intake, API and metrics."""
    return (*otlp_routes(), *_intake(), *_service(), *_found())


def _intake() -> tuple[Served, ...]:
    """What is sent to us."""
    return (
        Served("POST", "/ingest/litellm", "ingest", intake.litellm, "LiteLLM generic_api: json_array, ndjson, single"),
        Served(
            "POST",
            "/ingest/predictions/{model}",
            "ingest",
            intake.predictions,
            "Predictions: NDJSON, JSON, CSV, Arrow, Parquet",
        ),
        Served("POST", "/ingest/labels/{model}", "ingest", intake.labels, "Labels: NDJSON, JSON, CSV, Arrow, Parquet"),
        Served(
            "POST",
            "/ingest/exposition",
            "ingest",
            intake.exposition,
            "A page in the Prometheus text format, of an agent",
        ),
        Served("POST", "/ingest/events", "ingest", intake.events, "Change events: JSON"),
        Served("POST", "/ingest/cloudevents", "ingest", intake.cloudevents, "CloudEvents: KServe, Seldon, changes"),
    )


def _service() -> tuple[Served, ...]:
    """The service itself: whether it is well, who may ask, what is asked of it."""
    return (
        Served("GET", "/healthz", "public", api.healthz, "The process answers"),
        Served("GET", "/readyz", "public", api.readyz, "Rows would be taken now"),
        Served("GET", "/metrics", "viewer", api.metrics, "Prometheus exposition of Observe, its SLOs and findings"),
        Served("GET", "/api/v1/openapi.json", "viewer", api.openapi, "This API"),
        Served("POST", "/api/v1/sessions", "public", api.open_session, "A token or one-time code becomes a session"),
        Served("DELETE", "/api/v1/sessions", "viewer", api.close_session, "End the session"),
        Served("POST", "/api/v1/codes", "admin", api.one_time_code, "A one-time code for a browser"),
        Served("GET", "/api/v1/tokens", "admin", tokens.listed, "Tokens, their roles and when they were last used"),
        Served("POST", "/api/v1/tokens", "admin", tokens.make, "A token for somebody else, shown once"),
        Served(
            "POST", "/api/v1/tokens/rotate", "admin", tokens.rotate, "A new secret; the old one ends, after a grace"
        ),
        Served(
            "POST", "/api/v1/tokens/revoke", "admin", tokens.revoke, "End the tokens and sessions of a name at once"
        ),
        Served("POST", "/api/v1/read", "viewer", api.read, "Queries of our own pages, as Arrow; needs the face's key"),
        Served("POST", "/api/v1/sql", "sql", api.sql, "A person's SQL, in a sandbox"),
        Served("POST", "/api/v1/backup", "admin", keeping.backup, "A copy of the data in a folder of this machine"),
        Served("GET", "/api/v1/verify", "admin", keeping.verify, "What is missing or changed of the data, if anything"),
        Served("POST", "/api/v1/commands", "operator", api.command, "What a person does, recorded before it acts"),
        Served(
            "POST", "/api/v1/import/{kind}", "admin", importing.take, "A part of a file of the past, see observe import"
        ),
    )


def _found() -> tuple[Served, ...]:
    """What was found, and what is done about it."""
    return (
        Served("GET", "/api/v1/models", "viewer", api.models, "Models, declared and seen"),
        Served("GET", "/api/v1/slos", "viewer", api.slos, "SLO status"),
        Served("GET", "/api/v1/findings", "viewer", api.findings, "Latest findings"),
        Served(
            "GET",
            "/api/v1/incidents",
            "viewer",
            api.incidents,
            "Incidents, open ones first, then the newest; at most 1000",
        ),
        Served(
            "GET",
            "/api/v1/incidents/{incident_id}/bundle",
            "viewer",
            bundles.bundle,
            "All of an incident as a zip; rows of requests in it take sql",
        ),
        Served("GET", "/api/v1/gpus", "viewer", api.gpus, "GPUs as last seen"),
        Served(
            "GET", "/api/v1/actions", "viewer", api.actions, "Actions: what waits for approval first, then the newest"
        ),
        Served("GET", "/api/v1/config", "viewer", api.config, "The configuration in force, and what is wrong on disk"),
        Served("GET", "/api/v1/reports", "viewer", reports.kept, "Drift reports that are kept, newest first"),
        Served("POST", "/api/v1/reports", "operator", reports.make, "Make a drift report now, and keep it"),
        Served("GET", "/api/v1/reports/{report_id}/{name}", "viewer", reports.file, "A file of a drift report"),
        Served(
            "GET",
            "/api/v1/scaling/{model}",
            "viewer",
            scaling.desired,
            "Replicas a model needs, for KEDA; 503 when unsure",
        ),
        Served("GET", "/api/v1/budget", "viewer", api.budget, "False-alarm budget, declared and spent"),
    )
