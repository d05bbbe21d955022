"""HTTP: intake, API and metrics of the core, and the OTLP listener.

Source: our own; OTLP/HTTP 1.x for the answers of the OTLP routes.
"""

from observe.server.listen import serve

__all__ = ["serve"]
