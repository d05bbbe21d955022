"""Names that must differ, and names that Prometheus does not take: refused before anything is written.

Source: Prometheus documentation, "Data model" (label names); OpenSLO v1, Pyrra and the Prometheus operator: objects of
one kind are told apart by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from alerts import openslo_written, pyrra
from alerts.promise import Promise
from alerts.rulefiles import object_name
from observe.errors import ConfigError

_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_KINDS: Final = {"openslo": "SLO", "pyrra": "ServiceLevelObjective"}


def twice(promises: Sequence[Promise]) -> Iterator[ConfigError]:
    """SLOs with the id of another one: `a.b` with `c` is `a` with `b.c`, and their rules would be mixed up."""
    first: dict[str, Promise] = {}
    for promise in sorted(promises, key=lambda p: (p.slo_id, p.origin)):
        other = first.setdefault(promise.slo_id, promise)
        if other is not promise:
            yield ConfigError(
                f"{promise.origin}: SLO {promise.slo_id!r} is declared twice", hint=f"the first is at {other.origin}"
            )


def labels(promise: Promise) -> Iterator[ConfigError]:
    """Labels and annotations that Prometheus does not take."""
    for kind, given in (("label", promise.labels), ("annotation", promise.annotations)):
        for name in sorted({name for by_severity in given.values() for name in by_severity}):
            if not _LABEL.fullmatch(name):
                said = f"{promise.origin}: {promise.slo_id}: {name!r} cannot name a {kind} of an alert"
                yield ConfigError(said, hint="letters, digits and _, not a digit first, not __ first")


def of_objects(promises: Sequence[Promise], form: str) -> Iterator[ConfigError]:
    """SLOs or services whose objects would have one name."""
    taken: dict[str, Promise] = {}
    names = _names(promises, form)
    for promise in sorted(promises, key=lambda p: p.slo_id):
        name = names.get(promise.slo_id)
        other = taken.setdefault(name, promise) if name is not None else promise
        same = other.service == promise.service if form == "prometheusrule" else other is promise
        if not same:
            what = "PrometheusRule" if form == "prometheusrule" else _KINDS[form]
            said = f"{promise.origin}: {promise.slo_id} and {other.slo_id} would both be {what} {name!r}"
            yield ConfigError(said, hint=f"rename one; the other is at {other.origin}")


def _names(promises: Sequence[Promise], form: str) -> dict[str, str]:
    """What objects are called, by slo_id; those that are not written have none."""
    if form == "openslo":
        return openslo_written.object_names([p for p in promises if p.sli is not None])
    if form == "pyrra":
        return {p.slo_id: pyrra.object_name(p) for p in promises if p.sli is not None and pyrra.can_say(p.sli)}
    return {p.slo_id: object_name(p.service) for p in promises} if form == "prometheusrule" else {}
