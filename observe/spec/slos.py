"""A promise: what is counted, what is good of it, how much of it must be, over which period.

What is counted decides the kind. Requests: `latency` with `below`, or `good`. Calls of another model: `dependency`.
Events that Prometheus counts: `prometheus` with `from`. Minutes: `cost`, and `minutes` for drift and GPUs. Several
of them weighed together: `composite`. Each kind has one source of summaries, in which its events are counted by the
minute; a minute of which nothing is known has none and is neither good nor bad.

Source: our own (`observe/v1`, `slos:` of kind `Monitoring`); ARCHITECTURE section 5, "SLO semantics".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, StrictInt, model_validator

from observe.spec.burn import TIERS, usable
from observe.spec.periods import DAY_S, Span, as_json, length_s, written
from observe.spec.quantity import Malformed, write_duration, write_percent
from observe.spec.written import Condition, Duration, Name, Percent, Usd, Written

LatencyColumn = Literal["ttft_s", "duration_s", "tpot_s"]
Kind = Literal["latency", "good", "prometheus", "cost", "drift", "gpus", "dependency", "composite"]
REQUESTS: Final = ("latency", "good")
BY_MINUTE: Final = ("cost", "drift", "gpus")  # kinds whose events are minutes
EVENTS: Final[Mapping[str, str]] = {  # what is counted, for people
    "latency": "requests", "good": "requests", "prometheus": "events", "cost": "minutes", "drift": "minutes",
    "gpus": "GPU minutes", "dependency": "calls",
}  # fmt: skip
STATE_MINUTES: Final = 60.0  # bad minutes of a state that lasts so long are one event: the burst factor is not below
SOURCE: Final = "slo"  # of requests; every other kind has a source of its own, `slo-<kind>`
MOST_OVER_S: Final = 3_600.0  # longest range of an expression, s
SOONEST_S: Final = 300.0  # after which missing data is told at the earliest: minutes close one after they end, s
SOONEST_DRIFT_S: Final = 1_800.0  # and that of drift: what it says of a minute is known a quarter of an hour later, s
KINDS: Final[tuple[Any, ...]] = (  # fields, of which one decides
    "latency", "good", "cost", "minutes", "dependency", "composite",
)  # fmt: skip
_EXAMPLE: Final = "latency: ttft_s, below: 800ms — or good: status = ok; also: cost, minutes, dependency, prometheus with from, composite"


def _objective(value: Any) -> Any:
    if (
        isinstance(value, str)
        and value.rstrip("% ").replace(".", "", 1).isdigit()
        and not 0 < float(value.rstrip("% ")) < 100
    ):
        raise Malformed(
            f"objective {value} leaves no error budget or asks for nothing", "between 0% and 100%, both excluded: 99.9%"
        )
    return value


class Seen(Written):
    """Where Prometheus counts the events: counters, or expressions with `$window` for the range.

    With `source` the service asks a Prometheus of the site and judges these counts; without it the counts are for
    generated rules only.
    """

    source: Name | None = Field(default=None, alias="from")
    total: str = Field(min_length=1)
    good: str | None = Field(default=None, min_length=1)
    errors: str | None = Field(default=None, min_length=1)
    over_s: Duration = Field(default=120.0, alias="over", ge=60, le=MOST_OVER_S)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.good is None) == (self.errors is None):
            hint = "total: 'x_total', errors: 'x_total{code=~\"5..\"}'"
            raise Malformed("prometheus needs total and one of good or errors", hint)
        if self.over_s % 60:
            raise Malformed(f"{write_duration(self.over_s)} is no whole number of minutes", "over: 2m", ("over",))
        return self


class TokenCost(Written):
    """What tokens may cost: a minute in which they cost more is bad; unset, as the ModelSpec says."""

    per: Literal["1k tokens", "1M tokens"] = "1k tokens"
    below_usd: Usd | None = Field(default=None, alias="below", gt=0)

    @property
    def per_token_usd(self) -> float | None:
        """The same for one token."""
        return None if self.below_usd is None else self.below_usd / (1e3 if self.per == "1k tokens" else 1e6)


class Minutes(Written):
    """What must be so in a minute: no drift alert fires, or the GPUs are there and well (by GPU)."""

    good: Literal["no drift", "gpus present"]
    gpus: StrictInt | None = Field(default=None, ge=1, le=100_000)

    @model_validator(mode="after")
    def _its_own(self) -> Self:
        if self.gpus is not None and self.good != "gpus present":
            raise Malformed(f"{self.good!r} counts no gpus", "remove gpus, or write good: gpus present", ("gpus",))
        return self


Weight = Annotated[StrictInt, Field(ge=1, le=1_000)]


class Composite(Written):
    """Several SLOs of the model as one: the weighted mean of their bad shares."""

    of: Mapping[Name, Weight]

    @model_validator(mode="after")
    def _several(self) -> Self:
        if len(self.of) < 2:
            raise Malformed("a composite is made of two SLOs at least", "of: {ttft: 2, errors: 1}", ("of",))
        return self


class Slo(Written):
    """A promise: so much of what is counted is good, over a period."""

    name: Name
    latency: LatencyColumn | None = None
    dependency: Name | None = None
    threshold_s: Duration | None = Field(default=None, alias="below", gt=0)
    good: Condition | None = None
    total: Condition | None = None
    cost: TokenCost | None = None
    minutes: Minutes | None = None
    composite: Composite | None = None
    prometheus: Seen | None = None
    objective: Annotated[Percent, BeforeValidator(_objective)]
    window: Span = 30 * DAY_S
    no_data_s: Duration | None = Field(default=None, alias="alertWhenNoData")

    @property
    def window_s(self) -> float:
        """The period's length, s; of a calendar one its nominal length."""
        return length_s(self.window)

    @property
    def kind(self) -> Kind:
        """What is counted, and what decides."""
        if self.minutes is not None:
            return "gpus" if self.minutes.good == "gpus present" else "drift"
        return next((name for name in KINDS if getattr(self, name) is not None), "prometheus")

    @property
    def source(self) -> str:
        """The source of summaries that counts it."""
        return SOURCE if self.kind in REQUESTS else f"{SOURCE}-{self.kind}"

    @property
    def column(self) -> str | None:
        """The latency column of the view `request`, in s."""
        return self.latency

    @property
    def good_sql(self) -> str | None:
        """The condition of a good request as safe SQL over the view `request`."""
        return self.good.sql if self.good else None

    @property
    def derived(self) -> bool:
        """Whether nobody wrote it: it comes from a ModelSpec."""
        return False

    @property
    def by_minute(self) -> bool:
        """Whether its events are minutes."""
        return self.kind in BY_MINUTE

    def of_minutes(self, slos: Sequence[Slo]) -> bool:
        """Whether its events, or those of a part of it among the model's `slos`, are minutes: it opens tickets only."""
        return self.by_minute or any(
            s.by_minute for s in slos if self.composite is not None and s.name in self.composite.of
        )

    def counted(self, slos: Sequence[Slo] = ()) -> str:
        """What its events are, for people; a composite's are those of its parts, among the model's `slos`."""
        parts = [s for s in slos if self.composite is not None and s.name in self.composite.of]
        if not parts:
            return EVENTS.get(self.kind, "events")
        kinds = {EVENTS[s.kind] for s in parts}
        return "minutes" if any(s.by_minute for s in parts) else kinds.pop() if len(kinds) == 1 else "events"

    def as_params(self) -> Mapping[str, Any]:
        """What a burn monitor and the pages know of it."""
        weights = dict(self.composite.of) if self.composite else None
        return {
            "objective": self.objective, "window_s": self.window_s, "window": as_json(self.window), "kind": self.kind,
            "column": self.column, "threshold_s": self.threshold_s, "good": str(self.good) if self.good else None,
            "total": str(self.total) if self.total else None, "source": self.source,
            "events": self.counted(), "says": self.says, "derived": self.derived, "weights": weights,
            "no_data_s": self.no_data_s,
        }  # fmt: skip

    @property
    def says(self) -> str:
        """What is good, in a few words."""
        return {
            "latency": lambda: f"{self.latency} below {write_duration(self.threshold_s or 0)}",
            "good": lambda: str(self.good),
            "prometheus": lambda: "as Prometheus counts",
            "cost": self._says_cost,
            "drift": lambda: "no drift alert",
            "gpus": lambda: "GPUs present and well",
            "dependency": lambda: f"calls of {self.dependency} below {write_duration(self.threshold_s or 0)}",
            "composite": self._says_composite,
        }[self.kind]() + (f", of {self.total}" if self.total else "")

    def _says_cost(self) -> str:
        assert self.cost is not None
        return f"cost below {self.cost.below_usd or 0:g} USD per {self.cost.per}"

    def _says_composite(self) -> str:
        assert self.composite is not None
        return " + ".join(f"{weight} × {name}" for name, weight in self.composite.of.items())

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self._has_one_kind()
        if self.threshold_s is not None and self.latency is None and self.dependency is None:
            raise Malformed(f"SLO {self.name!r}: latency and below go together", "latency: ttft_s, below: 800ms")
        if self.latency is not None and self.threshold_s is None:
            raise Malformed(f"SLO {self.name!r}: latency and below go together", "latency: ttft_s, below: 800ms")
        if self.total is not None and self.kind not in REQUESTS:
            raise Malformed(
                f"SLO {self.name!r}: total says which requests count, and no requests are counted",
                "total goes with latency or good", ("total",),
            )  # fmt: skip
        soonest_s = SOONEST_DRIFT_S if self.kind == "drift" else SOONEST_S
        if self.no_data_s is not None and self.no_data_s < soonest_s:
            said = f"SLO {self.name!r}: missing data is known later than after {write_duration(self.no_data_s)}"
            raise Malformed(said, f"at least {write_duration(soonest_s)}", ("alertWhenNoData",))
        self._can_alarm()
        return self

    def _has_one_kind(self) -> None:
        given = [name for name in KINDS if getattr(self, name) is not None]
        asked = self.prometheus.source if self.prometheus else None
        if not given and self.prometheus is not None and asked is None:
            hint = "from: the name of a collector of type promql; without it prometheus is for generated rules only"
            raise Malformed(f"SLO {self.name!r}: who asks Prometheus?", hint, ("prometheus",))
        if len(given) + (asked is not None) != 1:
            if not given or given == ["latency", "good"]:
                raise Malformed(f"SLO {self.name!r} needs either latency or good", _EXAMPLE)
            also = [*given, *(["prometheus.from"] if asked else [])]
            raise Malformed(f"SLO {self.name!r} is {' and '.join(also)} at once", "one of them decides; make two SLOs")

    def _can_alarm(self) -> None:
        over = written(as_json(self.window))
        if self.window_s <= TIERS[0].long_s:
            shortest = write_duration(TIERS[0].long_s)
            said = f"no burn tier fits into a window of {over}"
            raise Malformed(said, f"the shortest looks back {shortest}; promise over days: 30d", ("window",))
        if not usable(self.objective, self.window_s):
            asked = write_percent(self.objective)
            raise Malformed(
                f"SLO {self.name!r} can never alarm: at {asked} over {over} even a total outage burns too slowly",
                "raise the objective or shorten the window: a tier fires only when factor x (1 - objective) < 1",
            )


class DerivedSlo(Slo):
    """An SLO that nobody wrote: it follows from what a ModelSpec promises."""

    @property
    def derived(self) -> bool:
        """It does."""
        return True
