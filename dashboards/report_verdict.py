"""The sentence a drift report begins with: drift, quiet, or unknown. What was not judged is never fine.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, Literal

from dashboards import words
from dashboards.report_facts import JUDGED, Facts, Stream

Verdict = Literal["drift", "quiet", "unknown"]
ENOUGH: Final = 0.5  # share of features that must be judged before "no drift" is said of the model
_NAMED: Final = 3  # features the headline names
_WHY: Final = {
    "learning": "still learning what is normal",
    "not_identifiable": "wanders so much that a shift cannot be told from chance",
    "too_few": "too few rows",
    "unknown": "nothing to judge at the end of the period",
    "expected": "a change was announced: neither judged nor learnt from",
    "stale": "not judged up to the end of the period",
}


@dataclass(frozen=True, slots=True)
class Said:
    """The verdict, its one sentence, and the features and pairs behind it."""

    verdict: Verdict
    headline: str
    drifting: tuple[Stream, ...]  # the strongest alarm of each feature that drifts at the end of the period
    over: tuple[Stream, ...]  # the same of features that drifted within it, and do not any more
    informing: tuple[Stream, ...]  # changes of kinds that are told for information only
    unjudged: tuple[tuple[str, str], ...]  # feature or pair, and why
    features: int  # that are watched
    pairs: int  # of features, whose correlation is watched
    judged: int  # of the features


def said(facts: Facts) -> Said:
    """What the findings of a period come to."""
    by_feature = {f: list(s) for f, s in groupby(sorted(facts.streams, key=lambda s: s.feature), lambda s: s.feature)}
    drifting = _strongest(facts.streams, lambda s: s.drifts)
    names = {s.feature for s in drifting}
    over = _strongest(facts.streams, lambda s: s.ended is not None and s.feature not in names)
    informing = tuple(s for s in facts.streams if s.state == "inform_only" and _clear(s))
    unjudged = (
        *_unjudged(by_feature),
        *((name, "nothing was asked about it in this period") for name in facts.unasked),
    )
    pairs = {s.feature for s in facts.streams if s.pair}
    features = len(by_feature) + len(facts.unasked) - len(pairs)
    judged = features - sum(name not in pairs for name, _ in unjudged)
    verdict = _verdict(features, judged, moved=bool(drifting or over))
    bare = Said(verdict, "", drifting, over, informing, tuple(unjudged), features, len(pairs), judged)
    headline = {"drift": _drift, "quiet": _quiet, "unknown": _unknown}[verdict](facts, bare)
    return replace(bare, headline=headline)


def _verdict(features: int, judged: int, *, moved: bool) -> Verdict:
    if moved:
        return "drift"
    return "quiet" if features and judged >= ENOUGH * features else "unknown"


def features_of(streams: Sequence[Stream]) -> int:
    """How many are about a feature; the others are about pairs."""
    return sum(not s.pair for s in streams)


def _strongest(streams: Sequence[Stream], wanted: Callable[[Stream], bool]) -> tuple[Stream, ...]:
    best: dict[str, Stream] = {}
    for stream in filter(wanted, streams):  # in order of effect; one judged at the slow cadence tells more
        known = best.get(stream.feature)
        if known is None or (known.watched.endswith("fast") and not stream.watched.endswith("fast")):
            best[stream.feature] = stream
    return tuple(best.values())


def _clear(stream: Stream) -> bool:
    needed = stream.threshold_nats
    return needed is not None and stream.evidence_nats is not None and stream.evidence_nats >= needed


def _unjudged(by_feature: dict[str, list[Stream]]) -> Iterator[tuple[str, str]]:
    for feature, streams in by_feature.items():
        if not any(s.state in JUDGED for s in streams):
            states = list(dict.fromkeys(s.state for s in streams))
            yield feature, "; ".join(_WHY.get(state, state) for state in states)


def moved(stream: Stream) -> str:
    """How much, in σ and in the feature's own unit: `+0.42 σ (median 31 → 44)`."""
    told = words.effect(stream.effect, stream.unit)
    if stream.median_from is None or stream.median_to is None:
        return told
    after = f"{words.number(stream.median_to)} {stream.user_unit}".rstrip()
    return f"{told} (median {words.number(stream.median_from)} → {after})"


def told(stream: Stream) -> str:
    """A change with its feature; what is no shift of the middle is told as its finding says it."""
    return f"{stream.feature} {moved(stream)}" if stream.watched.startswith("location") else stream.note


def _drift(facts: Facts, bare: Said) -> str:
    if not bare.drifting:
        named = _listed([f"{told(s)} until {words.clock(s.ended)} UTC" for s in bare.over])
        return f"No feature drifts any more; {features_of(bare.over)} of {bare.features} did in this period{_pairs(bare.over)}: {named}"
    named = _listed([f"{told(s)} since {words.clock(s.onset)} UTC" for s in bare.drifting])
    drifting = features_of(bare.drifting)
    verb = "drifts" if drifting == 1 else "drift"
    return f"{drifting} of {bare.features} {_features(bare.features)} {verb}{_pairs(bare.drifting)}: {named}"


def _pairs(streams: Sequence[Stream]) -> str:
    """What is added where pairs are among what moved."""
    pairs = len(streams) - features_of(streams)
    return f", and the correlation of {_counted(pairs, 'pair')} changed" if pairs else ""


def _quiet(facts: Facts, bare: Said) -> str:
    among = f" and {_counted(bare.pairs, 'pair')}" if bare.pairs else ""
    if not bare.unjudged:
        return f"No drift was found in {'the one feature' if bare.judged == 1 else f'any of {bare.judged} features'}{among}"
    names = [f for f, _ in bare.unjudged]
    return f"No drift was found in {bare.judged} of {bare.features} features; {_left(bare)} could not be judged: {_listed(names)}"


def _unknown(facts: Facts, bare: Said) -> str:
    if not bare.features:
        return f"Nobody can say whether {facts.model} drifted: {why_none(facts)}"
    left = bare.features - bare.judged
    return f"Nobody can say whether {facts.model} drifted: {left} of {bare.features} {_features(bare.features)} could not be judged"


def why_none(facts: Facts) -> str:
    """Why no question was judged."""
    if facts.watched is None:
        return (
            "no service has judged these data yet; start observe up, or observe replay --into DIR and report from there"
        )
    return "nothing was judged in this period" if facts.watched else "no Monitoring watches its drift"


def _left(bare: Said) -> str:
    """How many features, and how many pairs, could not be judged."""
    features = bare.features - bare.judged
    pairs = len(bare.unjudged) - features
    return " and ".join([str(features)] * (features > 0) + [_counted(pairs, "pair")] * (pairs > 0))


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _features(n: int) -> str:
    return "feature" if n == 1 else "features"


def _listed(named: Sequence[str]) -> str:
    rest = len(named) - _NAMED
    return "; ".join(named[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")
