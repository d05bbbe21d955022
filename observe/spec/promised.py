"""What a ModelSpec promises, as SLOs: the one nobody wrote, and the thresholds that are left to it.

`targetLatencyMsP95` makes an SLO, 95 % of requests below it, of a model that declares none about latency;
`derivedSlos: off` keeps it away. `interface.maxLatencyMs` of a dependency and `targetCostPer1kTokensUsd` fill in
what an SLO about them leaves open. What can be judged by nothing is refused with its place.

Source: our own; ParallelIQ ModelSpec `piqc.ai/v1alpha1`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from observe.errors import ConfigError
from observe.spec.documents import Documents
from observe.spec.modelspec import ModelSpec
from observe.spec.monitoring import Metadata, Monitoring
from observe.spec.nearest import did_you_mean
from observe.spec.nodes import Loc
from observe.spec.slos import DerivedSlo, Slo, TokenCost
from observe.spec.source import Document

GENERATIVE: Final = frozenset({"chat", "chat-completion", "completion", "text-completion", "text-generation"})
OBJECTIVE: Final = 0.95  # the P95 of targetLatencyMsP95
NAMES: Final = ("latency", "latency-p95", "derived-latency-p95")  # the first that is free
PROMETHEUS: Final = "promql"  # the type of a collector that asks a Prometheus


class Promised(NamedTuple):
    """A Monitoring with all its SLOs whole, and where what was added comes from, by dotted path."""

    monitoring: Monitoring | None
    origins: Mapping[str, str]


def promised(name: str, spec: ModelSpec | None, monitoring: Monitoring | None, document: Document | None) -> Promised:
    """The monitoring of a model with what its ModelSpec promises.

    Args:
        name: the model's.
        spec: None without one.
        monitoring: None when nothing is watched.
        document: of the ModelSpec.
    """
    if spec is None or document is None:
        return Promised(monitoring, {})
    origins: dict[str, str] = {}
    slos = []
    for i, slo in enumerate(monitoring.slos if monitoring else ()):
        filled, place = _filled(slo, spec, document)
        slos.append(filled)
        if place:
            origins[f"slos.{i}.{'cost.below' if slo.cost else 'below'}"] = place
    derived = _derived(spec, monitoring)
    if derived is not None:
        place = f"targetLatencyMsP95 at {document.where(('spec', 'operations', 'scaling', 'targetLatencyMsP95'))}"
        origins |= {f"slos.{len(slos)}.{f}": place for f in ("name", "latency", "below", "objective", "window")}
        slos.append(derived)
    if not origins:
        return Promised(monitoring, {})
    effective = monitoring or Monitoring(metadata=Metadata(name=name), modelRef=name)
    return Promised(effective.model_copy(update={"slos": tuple(slos)}), origins)


def _derived(spec: ModelSpec, monitoring: Monitoring | None) -> Slo | None:
    """The SLO that nobody wrote."""
    declared = monitoring.slos if monitoring else ()
    off = monitoring is not None and monitoring.derived_slos == "off"
    if off or not spec.target_latency_p95_s or any(slo.kind == "latency" for slo in declared):
        return None
    taken = {slo.name for slo in declared}
    return DerivedSlo(
        name=next(n for n in NAMES if n not in taken),
        latency="ttft_s" if spec.task in GENERATIVE else "duration_s",
        below=spec.target_latency_p95_s,
        objective=OBJECTIVE,
    )


def _filled(slo: Slo, spec: ModelSpec, document: Document) -> tuple[Slo, str]:
    """The SLO with the threshold its ModelSpec gives, and where that stands; as it is when nothing is open."""
    if slo.cost is not None and slo.cost.below_usd is None and spec.target_cost_per_1k_tokens_usd:
        place = document.where(("spec", "governance", "cost", "targetCostPer1kTokensUsd"))
        cost = TokenCost(per="1k tokens", below=spec.target_cost_per_1k_tokens_usd)
        return slo.model_copy(update={"cost": cost}), f"targetCostPer1kTokensUsd at {place}"
    if slo.dependency is not None and slo.threshold_s is None:
        for i, known in enumerate(spec.dependencies):
            if known.id == slo.dependency and known.max_latency_s:
                loc: Loc = ("spec", "pipeline", "dependencies", i, "interface", "maxLatencyMs")
                filled = slo.model_copy(update={"threshold_s": known.max_latency_s})
                return filled, f"maxLatencyMs at {document.where(loc)}"
    return slo, ""


def refused(found: Documents) -> Iterator[ConfigError]:
    """SLOs that nothing could judge, with their places."""
    specs = {spec.name: spec for _, spec in found.specs}
    askers = {name: c.type for _, site in found.sites for name, c in site.collectors.items()}
    for document, monitoring in found.monitorings:
        spec = specs.get(monitoring.model)
        for i, slo in enumerate(monitoring.slos):
            at: Loc = ("slos", i)
            if slo.dependency is not None:
                yield from _of_dependency(document, (slo, at), monitoring.model, spec)
            if slo.cost is not None and slo.cost.below_usd is None:
                yield from _of_cost(document, (slo, at), monitoring.model, spec)
            if slo.kind == "drift" and monitoring.drift is None:
                said = f"SLO {slo.name!r} counts minutes without a drift alert, and drift is not watched"
                yield document.refusal(said, (*at, "minutes", "good"), "declare drift: {source: predictions}")
            if slo.kind == "prometheus" and found.sites:
                yield from _of_asker(document, (slo, at), askers)


def _of_dependency(
    document: Document, asked: tuple[Slo, Loc], model: str, spec: ModelSpec | None
) -> Iterator[ConfigError]:
    slo, at = asked
    known = {d.id: d for d in spec.dependencies} if spec else {}
    if slo.dependency not in known:
        whose = f"pipeline.dependencies of ModelSpec {model!r}" if spec else f"a ModelSpec of {model!r}: there is none"
        hint = did_you_mean(slo.dependency or "", set(known)) if known else ""
        said = f"SLO {slo.name!r} is about dependency {slo.dependency!r}, which is not in {whose}"
        wanted = f"pipeline: {{dependencies: [{{id: {slo.dependency}, interface: {{maxLatencyMs: 50}}}}]}}"
        yield document.refusal(said, (*at, "dependency"), hint or wanted)
    elif slo.threshold_s is None and known[slo.dependency].max_latency_s is None:
        said = f"SLO {slo.name!r}: how long may a call of {slo.dependency!r} take?"
        yield document.refusal(
            said, (*at, "dependency"), "below: 50ms, or interface: {maxLatencyMs: 50} in the ModelSpec"
        )


def _of_cost(document: Document, asked: tuple[Slo, Loc], model: str, spec: ModelSpec | None) -> Iterator[ConfigError]:
    slo, at = asked
    if spec is None or not spec.target_cost_per_1k_tokens_usd:
        said = f"SLO {slo.name!r}: what may tokens cost?"
        hint = f"below: 0.02 USD, or governance: {{cost: {{targetCostPer1kTokensUsd: 0.02}}}} in the ModelSpec of {model!r}"
        yield document.refusal(said, (*at, "cost"), hint)


def _of_asker(document: Document, asked: tuple[Slo, Loc], askers: Mapping[str, str]) -> Iterator[ConfigError]:
    slo, at = asked
    source = slo.prometheus.source if slo.prometheus and slo.prometheus.source else ""
    if askers.get(source) != PROMETHEUS:
        known = {name for name, kind in askers.items() if kind == PROMETHEUS}
        what = f"of type {askers[source]}" if source in askers else "not a collector of the site"
        hint = did_you_mean(source, known) if known else ""
        wanted = f'collectors: {{{source}: {{type: {PROMETHEUS}, targets: ["http://prometheus:9090"]}}}}'
        said = f"SLO {slo.name!r} asks {source!r}, which is {what}"
        yield document.refusal(said, (*at, "prometheus", "from"), hint or wanted)
