"""What is allowed and deserves a second look: told as warnings, never refused.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from observe.spec import acting
from observe.spec.burn import TIERS, usable
from observe.spec.collecting import sent_cluster
from observe.spec.config import Config, Model
from observe.spec.documents import Documents
from observe.spec.periods import as_json, written
from observe.spec.quantity import write_percent
from observe.spec.secret import SecretRef
from observe.spec.site import Site, is_loopback

_OF_GPUS: Final = ("prometheus", "nvml", "exposition", "otlp")  # types of collectors that may hear of GPUs


def second_looks(found: Documents, site: Site, models: Mapping[str, Model]) -> list[str]:
    """One line each, with the place where one is known."""
    looks = [*_unmatched(found), *_open_secrets(site)]
    looks += [
        f"collector {name!r} feeds model {c.model!r}, which no ModelSpec, Monitoring or bare model declares"
        for name, c in site.collectors.items()
        if c.model is not None and c.model not in models
    ]
    looks += _of_senders(site)
    looks += [
        f"report {name!r} is about model {r.model!r}, which no ModelSpec, Monitoring or bare model declares"
        for name, r in site.reports.items()
        if r.model not in models
    ]
    heard = [(f"receiver {name!r} hears", r.models) for name, r in site.alerts.receivers.items()]
    heard += [("a maintenance is", m.models) for m in site.alerts.maintenance]
    looks += [
        f"{who} of model {name!r}, which no ModelSpec, Monitoring or bare model declares"
        for who, names in heard
        for name in names
        if name not in models and name != "site"
    ]
    looks += acting.second_looks(site, models)
    looks += [
        f"model {m.name!r}, SLO {slo.name!r} counts GPUs, and no collector is declared that hears of any"
        for m in models.values()
        for slo in (m.monitoring.slos if m.monitoring else ())
        if slo.kind == "gpus" and found.sites and not any(c.type in _OF_GPUS for c in site.collectors.values())
    ]
    for model in models.values():
        looks += _of_model(model)
    return looks


def _of_senders(site: Site) -> Iterator[str]:
    for way in (way for way, cluster in sent_cluster(site.collectors).items() if cluster is None):
        names = [name for name, c in site.collectors.items() if c.type == way and c.path is None]
        yield (
            f"collectors {' and '.join(map(repr, names))} do not agree about their cluster: what is sent as {way} does not say by "
            "which of them it came, so its rows get none; let senders name it (k8s.cluster.name, ?cluster=)"
        )


def _unmatched(found: Documents) -> Iterator[str]:
    for document, site in found.sites:
        if document.root.child("models") is not None and not any(document.folder.glob(site.models)):
            yield f"{document.where(('models',))}: {site.models} matches no file in {document.folder}"


def in_the_clear(config: Config) -> list[str]:
    """That tokens travel in clear, when listeners can be reached from elsewhere and show no certificate.

    A proxy before us may end TLS; so this is said to people, and not where it should be quiet.
    """
    server = config.site.server
    reachable = {name: getattr(server, name) for name in ("listen", "otlp", "ui")}
    reachable = {name: address for name, address in reachable.items() if not is_loopback(address)}
    if server.tls or not reachable:
        return []
    place = config.origins.get(f"site.server.{next(iter(reachable))}", "default")
    said = f"{', '.join(reachable.values())} can be reached from elsewhere without TLS: tokens travel in clear"
    return [f"{place}: {said}; set server.tls, or let a proxy end TLS and keep others out"]


def _open_secrets(site: Site) -> Iterator[str]:
    for secret in secrets(site):
        mode = secret.readable_by_others()
        if mode is not None:
            place = f"{secret.mark.file}:{secret.mark.line}:{secret.mark.column}: " if secret.mark else ""
            yield f"{place}everybody on this machine can read {secret} (mode {mode:04o}); chmod 600 it"


def secrets(written: Any) -> Iterator[SecretRef]:
    """Every reference to a secret in a part of the configuration, in the order of its fields."""
    if isinstance(written, SecretRef):
        yield written
    elif isinstance(written, BaseModel):
        for name in type(written).model_fields:
            yield from secrets(getattr(written, name))
    elif isinstance(written, Mapping):
        for value in written.values():
            yield from secrets(value)


def _of_model(model: Model) -> Iterator[str]:
    watched = model.monitoring
    for slo in watched.slos if watched else ():
        lost = [t.name for t in TIERS if t not in usable(slo.objective, slo.window_s)]
        if lost:
            asked = f"{write_percent(slo.objective)} over {written(as_json(slo.window))}"
            yield f"model {model.name!r}, SLO {slo.name!r}: at {asked} {', '.join(lost)} can never fire"
    bounded = model.spec is not None and model.spec.max_replicas is not None
    if watched and not bounded and any(rule.do == "scale" for rule in watched.actions):
        yield f"model {model.name!r}: a scale action without minReplicas and maxReplicas in a ModelSpec has no bounds"
