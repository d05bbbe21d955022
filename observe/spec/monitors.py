"""What is asked, how often, and how much evidence each question needs before it may disturb anyone.

The evidence is `observe.spec.budget`'s to say. Drift streams are not alike: `observe.spec.streams`
weights them, and weights always sum to the drift part.

Source: METHODS sections 1.4, 4 (Cadence) and 6; ARCHITECTURE section 5, "One budget".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import log
from types import MappingProxyType
from typing import Any, Final

from observe.schema import Json, Monitor
from observe.spec.budget import Budget
from observe.spec.collecting import PUSHED_EVERY_S, CollectorSpec
from observe.spec.config import Config, Model
from observe.spec.drift import Feature, attempt_features
from observe.spec.monitoring import Canary
from observe.spec.performance import estimates, of_performance
from observe.spec.skew import WEIGHT as SKEW_WEIGHT
from observe.spec.skew import of_columns, of_skew
from observe.spec.slos import STATE_MINUTES, Slo
from observe.spec.streams import WEIGHTS, Draft, Levels, of_feature, rate
from observe.spec.unused import is_categorical

SITE: Final = "site"
CANARY_FALSE: Final = 0.01  # of unchanged canaries that may be called worse
_PULLED: Final = ("prometheus", "nvml", "spendlogs", "promql")  # asked by us, so their silence is never their rhythm
# labels and events come when they come
_WITH_RHYTHM: Final = (*_PULLED, "otlp", "litellm", "predictions", "files", "cloudevents", "exposition")
_MINUTE_S: Final = 60
_FIVE_MINUTES_S: Final = 300
_QUARTER_S: Final = 900
PAGES: Final = "exposition"  # the type of a source whose agents push pages
_OF_GPUS: Final = ("prometheus", "nvml", PAGES)  # what they read may be GPUs
_LAPSES_S: Final = 7 * 86_400.0  # after which nothing is expected any more of what nobody declared


def derive(
    config: Config,
    features: Mapping[str, Mapping[str, str]],
    settled: Mapping[str, Collection[str]] | None = None,
    levels: Mapping[str, Mapping[str, Levels]] = MappingProxyType({}),
    pushed: Collection[str] = (),
) -> tuple[Monitor, ...]:
    """Every question the configuration asks, with its evidence threshold.

    Args:
        config: the validated configuration.
        features: features seen so far, by model: `{model: {feature: "numeric" | "categorical" | "pair"}}`;
            watched where `drift.features` names none, pairs of watched features always.
        settled: features by model when the count of streams was last frozen. Features that arrived
            since draw on the reserve; those that `drift.features` names were counted on from the start
            and never do. None: never frozen, all count as settled; the reserve is kept all the same.
        levels: of categorical features, by model and feature, as far as they are known.
        pushed: ways in by which agents have pushed pages; they are watched also where the site declares none.

    Returns:
        Monitors in a stable order; monitor_id is unique.
    """
    drafts = [draft for model in config.models.values() for draft in _of_model(model, features, settled, levels)]
    drafts += _of_site(config, pushed)
    budget = Budget(config, drafts)
    quiet = [_gauge(SITE, "gpu")] + [_gauge(name, "queue") for name in config.models]
    quiet += [
        _no_data(m.name, slo)
        for m in config.models.values()
        if m.monitoring
        for slo in m.monitoring.slos
        if slo.no_data_s
    ]
    quiet += [
        _canary(m.name, m.monitoring.canary) for m in config.models.values() if m.monitoring and m.monitoring.canary
    ]
    quiet += [
        asked
        for m in config.models.values()
        if m.monitoring and m.monitoring.performance
        for asked in estimates(m.name, m.monitoring.performance)
    ]
    quiet += [
        of_columns(m.name, m.monitoring.drift)
        for m in config.models.values()
        if m.monitoring and m.monitoring.drift and m.monitoring.drift.skew
    ]
    return tuple(budget.with_threshold(draft) for draft in drafts) + tuple(quiet)


def watched(model: Model, features: Mapping[str, Mapping[str, str]]) -> tuple[tuple[Feature, str], ...]:
    """Features whose drift is watched, with their kind: those named, else all that arrived."""
    drift = model.monitoring.drift if model.monitoring else None
    if drift is None:
        return ()
    seen = features.get(model.name, {})
    columns = attempt_features() if drift.source == "attempts" else {}
    named = drift.features or tuple(Feature(name=name) for name in sorted(seen))
    kinds = {f.name: "categorical" if is_categorical(f, drift.source) else f.kind for f in named}
    found = [(f, kinds[f.name] or seen.get(f.name) or columns.get(f.name, "numeric")) for f in named]
    if drift.features:  # pairs are nobody's to name
        found += [(Feature(name=name), kind) for name, kind in sorted(seen.items()) if kind == "pair"]
    return tuple(found)


def _of_model(
    model: Model,
    features: Mapping[str, Mapping[str, str]],
    settled: Mapping[str, Collection[str]] | None,
    levels: Mapping[str, Mapping[str, Levels]],
) -> Iterator[Draft]:
    monitoring = model.monitoring
    if monitoring is None:
        return
    for slo in monitoring.slos:
        yield _burn(model.name, slo, monitoring.slos)
    drift = monitoring.drift
    if monitoring.slos or (drift is not None and drift.source == "attempts"):
        failed = rate(model.name, "error", "share", f"{model.name}/attempts/error")
        yield Draft("drift", 1, failed, weight=WEIGHTS["error"])
    for feature, kind in watched(model, features) if drift else ():
        assert drift is not None
        unforeseen = settled is not None and not drift.features
        newborn = unforeseen and feature.name not in (settled or {}).get(model.name, ())
        known = levels.get(model.name, {}).get(feature.name)
        for monitor, sides, weight in of_feature(model.name, drift, feature, kind, known):
            yield Draft("drift", sides, monitor, newborn, weight)
    for monitor, sides, weight in of_performance(model.name, monitoring.performance) if monitoring.performance else ():
        yield Draft("drift", sides, monitor, weight=weight)
    for monitor in of_skew(model.name, drift, watched(model, features)) if drift else ():
        assert drift is not None
        newborn = settled is not None and not drift.features and monitor.feature not in settled.get(model.name, ())
        yield Draft("drift", 1, monitor, newborn, SKEW_WEIGHT)


def _burn(model: str, slo: Slo, slos: Sequence[Slo]) -> Draft:
    of_minutes = slo.of_minutes(slos)
    params: Json = {
        **slo.as_params(),
        "events": slo.counted(slos),
        **({"phi_floor": STATE_MINUTES} if of_minutes else {}),
    }
    monitor = Monitor(
        f"{model}/burn/{slo.name}", model, "burn", f"{model}/slo/{slo.name}", slo.name, "slo", _MINUTE_S,
        "ticket" if of_minutes else "page", 0.0, 0.0, None, "x budget", params,
    )  # fmt: skip  # states that last for hours miss the gate of pages: bench.minutes
    return Draft("slo", 1, monitor)


def no_data(model: str, slo: Slo) -> str:
    """What the silence of an SLO is called: alerts name it, and the frame `last_seen` has a row of that name."""
    return f"SLO {model}.{slo.name}"


def _no_data(model: str, slo: Slo) -> Monitor:
    """Whether an SLO has had events within the time that was declared; a counted fact that spends nothing."""
    params: Json = {"every_s": _MINUTE_S, "push": True, "allowed_s": slo.no_data_s}
    return Monitor(
        f"{model}/silence/{slo.name}", model, "silence", "", no_data(model, slo), "silence", _MINUTE_S, "ticket",
        0.0, 0.0, None, "", params,
    )  # fmt: skip


def undeclared(config: Config, pushed: Collection[str]) -> bool:
    """Whether agents push pages that no collector of the site stands for."""
    declared = config.site.collectors
    return PAGES in pushed and PAGES not in declared and all(c.type != PAGES for c in declared.values())


def _of_site(config: Config, pushed: Collection[str]) -> Iterator[Draft]:
    asked = _askers(config)
    for name, collector in config.site.collectors.items():
        if collector.type in _WITH_RHYTHM and (collector.type != "promql" or name in asked):
            params = _rhythm(collector)
            yield Draft("fleet", 1, _fleet(f"{SITE}/silence/{name}", "silence", name, _MINUTE_S, params))
    if unforeseen := undeclared(config, pushed):
        params = {"every_s": PUSHED_EVERY_S, "push": True, "lapses_s": _LAPSES_S}
        yield Draft("fleet", 1, _fleet(f"{SITE}/silence/{PAGES}", "silence", PAGES, _MINUTE_S, params))
    if unforeseen or any(c.type in _OF_GPUS for c in config.site.collectors.values()):
        prices: Json = {"prices": dict(config.site.prices)} if config.site.prices else {}
        yield Draft("fleet", 1, _fleet(f"{SITE}/imbalance/gpu", "imbalance", "gpu", _FIVE_MINUTES_S, prices))
        yield Draft("fleet", 1, _fleet(f"{SITE}/straggler/gpu", "straggler", "gpu", _QUARTER_S, {}))


def _askers(config: Config) -> set[str | None]:
    """Collectors that ask a Prometheus about an SLO; one that asks nothing is not silent."""
    slos = (slo for m in config.models.values() if m.monitoring for slo in m.monitoring.slos)
    return {slo.prometheus.source for slo in slos if slo.prometheus is not None}


def _rhythm(collector: CollectorSpec) -> Json:
    """How a source speaks: `push` when it comes by itself, `rhythm` when only its own past says how often."""
    params: dict[str, Any] = {"every_s": collector.every_s}
    if collector.type not in _PULLED:
        params["push"] = True
    if collector.type == "files":
        params["rhythm"] = True
    return params


def _fleet(monitor_id: str, detector: str, subject: str, window_s: int, params: Json) -> Monitor:
    return Monitor(monitor_id, SITE, detector, "", subject, detector, window_s, "ticket", 0.0, 0.0, None, "", params)


def _canary(model: str, canary: Canary) -> Monitor:
    """A comparison of two versions; each has a false-alarm rate of its own, 1 %, however long it runs."""
    params: Json = {"by": canary.by, "rollback_at": canary.rollback_at}
    if canary.agreement is not None:
        params = {**params, "disagree": 1 - canary.agreement, "within": canary.within}
    return Monitor(
        f"{model}/canary/{canary.by}", model, "canary", "", canary.by, "canary", _MINUTE_S, "ticket",
        log(1 / CANARY_FALSE), 0.0, None, "ratio", params,
    )  # fmt: skip


def _gauge(model: str, subject: str) -> Monitor:
    """A counted fact that informs and spends nothing."""
    monitor_id = f"{model}/gauge/{subject}"
    return Monitor(
        monitor_id,
        model,
        "gauge",
        "",
        subject,
        "gauge",
        _FIVE_MINUTES_S,
        "inform",
        0.0,
        0.0,
        None,
        "",
        {"kind": subject},
    )
