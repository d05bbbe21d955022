"""How a model is run, as its ModelSpec says: serving and probes, scaling, what it tells about itself.

Source: ModelSpec v0.1 (`piqc.ai/v1alpha1`), github.com/paralleliq/modelspec: names, types and ranges of fields only.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from observe.spec.quantity import Malformed
from observe.spec.theirs import Above0, AsText, AtLeast1, Count, Flag, Number, Port, ProbePath, Text, Theirs


class Probe(Theirs):
    """A path that answers when all is well."""

    path: ProbePath | None = None
    timeout_s: Number | None = Field(default=None, alias="timeoutSeconds")


class Serving(Theirs):
    """How the model is spoken to."""

    protocol: Annotated[Literal["http", "grpc"], AsText] | None = None
    port: Port | None = None
    readiness_probe: Probe | None = Field(default=None, alias="readinessProbe")
    liveness_probe: Probe | None = Field(default=None, alias="livenessProbe")
    max_concurrency: AtLeast1 | None = Field(default=None, alias="maxConcurrency")
    timeout_s: Number | None = Field(default=None, alias="timeoutSeconds")


class WarmPool(Theirs):
    """Replicas kept loaded and idle."""

    size: Count | None = None
    strategy: Text | None = None


class Scaling(Theirs):
    """How many replicas there may be, and for what load."""

    min_replicas: Count | None = Field(default=None, alias="minReplicas")
    max_replicas: Count | None = Field(default=None, alias="maxReplicas")
    strategy: Annotated[Literal["reactive", "predictive", "manual"], AsText] | None = None
    target_latency_ms_p95: Above0 | None = Field(default=None, alias="targetLatencyMsP95")
    target_rps: Number | None = Field(default=None, alias="targetRps")
    warm_pool: WarmPool = Field(default_factory=WarmPool, alias="warmPool")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        low, high, warm = self.min_replicas, self.max_replicas, self.warm_pool.size
        if low is not None and high is not None and low > high:
            raise Malformed(f"minReplicas {low} is more than maxReplicas {high}", "swap them?", ("minReplicas",))
        if warm is not None and high is not None and warm > high:
            hint = "a warm replica is a replica: raise maxReplicas or lower the pool"
            raise Malformed(f"warmPool.size {warm} is more than maxReplicas {high}", hint, ("warmPool", "size"))
        return self


class Metrics(Theirs):
    """Where the model's own metrics are."""

    enabled: Flag | None = None
    provider: Text | None = None
    port: Port | None = None

    @model_validator(mode="after")
    def _meant(self) -> Self:
        if self.enabled is False and self.port is not None:
            raise Malformed(f"metrics are off but have port {self.port}", "enabled: true, or remove port", ("port",))
        return self


class Logging(Theirs):
    """How much it logs."""

    level: Text | None = None


class Tracing(Theirs):
    """Whether it traces."""

    enabled: Flag | None = None


class Observability(Theirs):
    """What the model tells about itself."""

    metrics: Metrics = Field(default_factory=Metrics)
    logging: Logging = Field(default_factory=Logging)
    tracing: Tracing = Field(default_factory=Tracing)


class Operations(Theirs):
    """How the model is run."""

    serving: Serving = Field(default_factory=Serving)
    scaling: Scaling = Field(default_factory=Scaling)
    observability: Observability = Field(default_factory=Observability)
