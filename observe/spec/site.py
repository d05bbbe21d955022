"""The site: where data lies, what is collected, what it costs, how many false alarms are promised.

Source: our own (`observe/v1`, kind `Site`).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from observe.spec.acting import ActionsSpec, TargetSpec
from observe.spec.assisting import AssistantSpec
from observe.spec.clusters import ClusterSpec
from observe.spec.collecting import CollectorSpec
from observe.spec.nearest import did_you_mean
from observe.spec.quantity import Malformed, Rate, write_size
from observe.spec.receiving import ReceiverSpec, SiteMaintenance
from observe.spec.reporting import ReportSpec
from observe.spec.written import (
    Address,
    AnyPath,
    Duration,
    FalseAlarmRate,
    HostPort,
    Name,
    Percent,
    Price,
    Secret,
    Size,
    Written,
)

Severities = Literal["page", "ticket"]
Parts = Literal["slo", "drift", "fleet"]
DAY_S: Final = 86_400.0
MODELS: Final = "models/*.yaml"  # where a site's models lie unless it says otherwise
RETAINED_DAYS: Final[Mapping[str, float]] = {  # ARCHITECTURE section 3; days, by table
    "attempt": 7, "prediction": 7, "gpu_sample": 7, "serving_sample": 7, "metric_sample": 7, "log_event": 7,
    "prediction_half": 1, "rollup": 90, "label": 400, "summary": 400, "report": 400,
    "finding": 90, "incident": 400, "action": 400, "change_event": 400,
}  # fmt: skip
RECORDS: Final = frozenset({"finding", "incident", "action", "change_event"})  # what was found and done, not what came
LATENESS_S: Final[Mapping[str, float]] = {"attempts": 60.0, "gpu": 30.0, "predictions": 300.0}
SMALLEST_STORE: Final = 10**6  # bytes
KEPT_S: Final = 3600.0  # the least that rows are kept
RECORD_S: Final = 30 * DAY_S  # the least that records are: cooldowns, budgets and comparisons look back so far
FALSE_ALARMS: Final[Mapping[Severities, Rate]] = {"page": Rate(1, 90 * DAY_S), "ticket": Rate(1, 7 * DAY_S)}
SHARES: Final[Mapping[Parts, float]] = {"slo": 0.5, "drift": 0.4, "fleet": 0.1}


def _kept(periods: Mapping[str, float]) -> Mapping[str, float]:
    unknown = next((table for table in periods if table not in RETAINED_DAYS), None)
    if unknown is not None:
        raise Malformed(f"nothing is retained as {unknown!r}", did_you_mean(unknown, set(RETAINED_DAYS)), (unknown,))
    short = next((table for table, period in periods.items() if period < KEPT_S), None)
    if short is not None:
        raise Malformed(f"{short} rows would be gone before anybody reads them", "at least 1h", (short,))
    early = next((table for table, period in periods.items() if table in RECORDS and period < RECORD_S), None)
    if early is not None:
        raise Malformed(f"{early} rows are looked back at for longer than that", "at least 30d", (early,))
    return {**{table: days * DAY_S for table, days in RETAINED_DAYS.items()}, **periods}


def _room(size: int) -> int:
    if size < SMALLEST_STORE:
        raise Malformed(f"{write_size(size)} holds nothing", "at least 1MB; 100GB is the default")
    return size


class StoreSpec(Written):
    """Where rows lie, how long they are kept and how much room they may take."""

    path: AnyPath = Field(default=Path("data"), validate_default=True)
    size_bytes: Annotated[Size, AfterValidator(_room)] = Field(default=100 * 10**9, alias="size")
    retain_s: Annotated[Mapping[str, Duration], AfterValidator(_kept)] = Field(
        default_factory=lambda: _kept({}), alias="retain"
    )
    reservoir: int = Field(default=10_000, ge=0)  # predictions of a model and day that outlive the raw rows


class AlertsSpec(Written):
    """How alerts reach people: pushed to Alertmanager, or by generated Prometheus rules; never both."""

    mode: Literal["push", "rules"] = "push"
    alertmanager: tuple[Address, ...] = ()
    interval_s: Duration = Field(default=60.0, alias="interval", ge=1)
    dashboard_url: Address | None = Field(default=None, alias="dashboardUrl")
    receivers: Mapping[Name, ReceiverSpec] = Field(default_factory=dict)
    maintenance: tuple[SiteMaintenance, ...] = ()

    @model_validator(mode="after")
    def _one_sender(self) -> Self:
        if self.mode == "rules" and self.receivers:
            hint = "tell them through Alertmanager, or write mode: push"
            raise Malformed(
                "with mode: rules Alertmanager is the one who tells; receivers would tell twice", hint, ("receivers",)
            )
        return self


class ServerTls(Written):
    """The certificate that all listeners show; files of PEM. `ca` is what our own face trusts when it is not public."""

    cert: AnyPath
    key: AnyPath
    ca: AnyPath | None = None


class ServerSpec(Written):
    """Addresses we listen on, and who may come in."""

    listen: HostPort = "127.0.0.1:8080"
    otlp: HostPort = "127.0.0.1:4318"
    ui: HostPort = "127.0.0.1:8050"
    token: Secret | None = None
    auth: Literal["token", "none"] = "token"
    tls: ServerTls | None = None

    @property
    def scheme(self) -> str:
        """`https` when our listeners show a certificate."""
        return "https" if self.tls else "http"

    @model_validator(mode="after")
    def _closed(self) -> Self:
        reachable = [a for a in (self.listen, self.otlp, self.ui) if not is_loopback(a)]
        if self.auth == "none" and reachable:
            raise Malformed(
                f"{reachable[0]} can be reached from elsewhere without a token", "auth: token, or bind 127.0.0.1"
            )
        for name, other in (("otlp", "listen"), ("ui", "listen"), ("ui", "otlp")):
            address = getattr(self, name)
            if address == getattr(self, other) and not address.endswith(":0"):
                raise Malformed(f"{name} and {other} are both {address}", "give each its own port", (name,))
        return self


def is_loopback(host_port: str) -> bool:
    """Whether only this machine can reach `host:port`; an empty host is every address.

    >>> is_loopback("127.0.0.1:8080"), is_loopback(":8080")
    (True, False)
    """
    host = host_port.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class AcceptSpec(Written):
    """How far from now the event time of rows may be that come in live."""

    past_s: Duration = Field(default=7 * DAY_S, alias="past")
    future_s: Duration = Field(default=600.0, alias="future")


def _late(waits: Mapping[str, float]) -> Mapping[str, float]:
    unknown = next((source for source in waits if source not in LATENESS_S), None)
    if unknown is not None:
        raise Malformed(f"{unknown!r} has no lateness", did_you_mean(unknown, set(LATENESS_S)), (unknown,))
    longest = max(waits, key=waits.__getitem__, default="")
    if longest and waits[longest] > DAY_S:
        raise Malformed(
            "a window that waits longer than a day is no longer watched live",
            f"at most 1d; import older rows: lateness: {{{longest}: 1h}}",
            (longest,),
        )
    return {**LATENESS_S, **waits}


def _both(rates: Mapping[Severities, Rate]) -> Mapping[Severities, Rate]:
    return {**FALSE_ALARMS, **rates}


def _whole(shares: Mapping[Parts, float]) -> Mapping[Parts, float]:
    every = {**dict.fromkeys(SHARES, 0.0), **shares}
    if min(every.values()) == 0:
        raise Malformed("a share of 0% could never notify anyone", "give each of slo, drift and fleet at least 1%")
    if abs(sum(every.values()) - 1) > 1e-9:
        raise Malformed(f"shares add up to {sum(every.values()):.4g}, not to 100%", "slo: 50%, drift: 40%, fleet: 10%")
    return every


Rates = Annotated[Mapping[Severities, FalseAlarmRate], AfterValidator(_both)]
Shares = Annotated[Mapping[Parts, Percent], AfterValidator(_whole)]


def _glob_below(value: Any) -> Any:
    if isinstance(value, str) and (Path(value).is_absolute() or ".." in Path(value).parts):
        raise Malformed(f"{value!r} leads out of the configuration's folder", MODELS)
    return value


class Site(Written):
    """One installation: everything that is not about a single model."""

    store: StoreSpec = Field(default_factory=StoreSpec)
    collectors: Mapping[Name, CollectorSpec] = Field(default_factory=dict)
    prices: Mapping[str, Price] = Field(default_factory=dict)  # USD per hour by accelerator type
    clusters: Mapping[Name, ClusterSpec] = Field(default_factory=dict)
    false_alarms: Rates = Field(default_factory=lambda: dict(FALSE_ALARMS), alias="falseAlarms")
    shares: Shares = Field(default_factory=lambda: dict(SHARES))
    alerts: AlertsSpec = Field(default_factory=AlertsSpec)
    targets: Mapping[Name, TargetSpec] = Field(default_factory=dict)
    actions: ActionsSpec = Field(default_factory=ActionsSpec)
    server: ServerSpec = Field(default_factory=ServerSpec)
    accept: AcceptSpec = Field(default_factory=AcceptSpec)
    lateness_s: Annotated[Mapping[str, Duration], AfterValidator(_late)] = Field(
        default_factory=lambda: dict(LATENESS_S), alias="lateness"
    )  # how long after its end a window still takes rows
    reports: Mapping[Name, ReportSpec] = Field(default_factory=dict)
    assistant: AssistantSpec | None = None
    models: Annotated[str, BeforeValidator(_glob_below)] = MODELS
