"""The API described as OpenAPI 3.1, from the routes themselves.

Source: OpenAPI 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from observe.server.routing import Served


def describe(routes: Sequence[Served]) -> dict[str, Any]:
    """An OpenAPI document of these routes, with the role each asks for."""
    paths: dict[str, dict[str, Any]] = {}
    for served in routes:
        operation: dict[str, Any] = {
            "summary": served.summary,
            "x-role": served.role,
            "security": [] if served.role == "public" else [{"bearer": []}],
            "responses": {"200": {"description": "done"}, "4XX": {"description": "error and kind, as JSON"}},
        }
        names = [p[1:-1] for p in served.path.split("/") if p.startswith("{")]
        if names:
            operation["parameters"] = [
                {"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names
            ]
        paths.setdefault(served.path, {})[served.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Observe", "version": "1"},
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "paths": paths,
    }
