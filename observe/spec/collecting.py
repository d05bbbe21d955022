"""What is collected: a source's type, its targets or path, its cadence, and how we show ourselves to it.

Source: our own (`observe/v1`, kind `Site`, `collectors`).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from observe.spec.nearest import did_you_mean
from observe.spec.quantity import Malformed, write_duration
from observe.spec.written import Address, AnyPath, Duration, Name, PathPattern, Secret, Written

PULLED: Final[Mapping[str, float]] = {
    "prometheus": 15.0,
    "nvml": 15.0,
    "files": 60.0,
    "spendlogs": 60.0,
    "promql": 60.0,
}  # types we read ourselves, default cadence in s
PUSHED_EVERY_S: Final = 300.0  # a pushing source is expected to say something at least this often
TYPES: Final = (
    "prometheus", "files", "otlp", "litellm", "predictions", "labels", "events", "cloudevents", "nvml", "spendlogs", "exposition", "promql",
)  # fmt: skip
FETCHED: Final = ("prometheus", "spendlogs", "promql")  # types that read addresses
WATCHED: Final = ("files", "predictions", "labels", "litellm")  # types that read a path; plugged ones do, too
SOONEST_S: Final = 0.1  # nothing is read more often


def _collector_type(value: Any) -> Any:
    if isinstance(value, str) and value not in TYPES:
        plugged = {e.name for e in entry_points(group="observe.collectors")}
        if value not in plugged:
            raise Malformed(f"unknown collector type {value!r}", did_you_mean(value, {*plugged, *TYPES}))
    return value


class TargetAuth(Written):
    """What we present to a target: a bearer token, or a user and a password."""

    bearer: Secret | None = None
    username: str | None = None
    password: Secret | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        basic = self.username is not None or self.password is not None
        if (self.bearer is not None) == basic or (basic and (self.username is None or self.password is None)):
            raise Malformed("auth needs a bearer, or a username and a password", "auth: {bearer: env:SCRAPE_TOKEN}")
        return self


class TargetTls(Written):
    """Whom we trust at a target, and the certificate we show there; files of PEM."""

    ca: AnyPath | None = None
    cert: AnyPath | None = None
    key: AnyPath | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise Malformed("a client certificate needs both cert and key", "tls: {cert: client.pem, key: client.key}")
        return self


class CollectorSpec(Written):
    """One source: a type, and what that type needs."""

    type: Annotated[str, BeforeValidator(_collector_type)]
    targets: tuple[Address, ...] = ()
    every_s: Duration = Field(default=0.0, alias="every")  # filled by type when not written
    labels: Mapping[str, str] = Field(default_factory=dict)
    path: PathPattern | None = None
    model: Name | None = None
    timeout_s: Duration = Field(default=10.0, alias="timeout")
    auth: TargetAuth | None = None
    tls: TargetTls | None = None

    @model_validator(mode="before")
    @classmethod
    def _cadence(cls, data: Any) -> Any:
        if isinstance(data, dict) and not {"every", "every_s"} & data.keys():
            return {**data, "every": write_duration(PULLED.get(str(data.get("type")), PUSHED_EVERY_S))}
        return data

    @model_validator(mode="after")
    def _needs(self) -> Self:
        if self.type in FETCHED and not self.targets:
            raise Malformed(f"a {self.type} collector needs targets", 'targets: ["http://host:9400/metrics"]')
        if self.type == "files" and not (self.path and self.model):
            raise Malformed("a files collector needs path and model", 'path: "./predictions/*.parquet", model: fraud')
        if self.type in ("predictions", "labels") and self.path and not self.model:
            raise Malformed(f"a {self.type} collector with a path needs a model", "model: fraud")
        if self.type not in FETCHED and self.targets:
            raise Malformed(
                f"a collector of type {self.type} has no targets", "it is sent to, or reads a path; remove targets"
            )
        if self.type not in FETCHED and (self.auth or self.tls):
            raise Malformed(
                f"a collector of type {self.type} reads no address", "auth and tls are for collectors with targets"
            )
        if self.every_s < SOONEST_S or self.timeout_s <= 0:
            slip = "timeout" if self.timeout_s <= 0 else "every"
            raise Malformed(f"{slip} is too short", "every: at least 100ms; timeout: more than nothing")
        return self

    @model_validator(mode="after")
    def _watches(self) -> Self:
        if self.path is not None and self.type in TYPES and self.type not in WATCHED:
            hint = f"remove path, or choose one of {', '.join(WATCHED)}; files of the past: observe import"
            raise Malformed(f"a collector of type {self.type} reads no files", hint, ("path",))
        return self


def sent_cluster(collectors: Mapping[str, CollectorSpec]) -> Mapping[str, str | None]:
    """The cluster of what is sent to us, by type; None where collectors of one type differ: nobody can tell them apart."""
    told: dict[str, set[str]] = {}
    for spec in collectors.values():
        if spec.type not in PULLED and spec.path is None:
            told.setdefault(spec.type, set()).add(spec.labels.get("cluster", ""))
    return {way: said.pop() if len(said) == 1 else None for way, said in told.items()}
