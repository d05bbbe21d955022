"""How likely is each clue the cause of an incident, against "none of these"?

Exactly one hypothesis is true: clue i is the cause, or none is. Given the prior odds of its kind, clue i is weighed by
 * when: density of "the effect shows so long after such a cause" over that of "it stood there anyway", which is how
   often its like begins by chance, plus how often such a signal is itself an effect (`follows`). Both are averaged over
   the intervals in which the incident and the clue may have begun.
 * where: whether the model, cluster, node or deployment it names is the incident's.
 * who: whether bad requests gather where its effect is expected more than good ones do, and more than before; and
   against what would strike everybody where nearly all of them are one tenant's.
The weights are multiplied; with the prior of "none of these" they are made to sum to 1.

Source: Bayes' rule over exclusive hypotheses; a Poisson process for what comes by chance. Numbers: our own, declared.
Assumes: one cause; given it, when, where and who are independent. It is agreement, not proof of causation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp
from typing import Final

from alerts import wording
from alerts.clues import CHANGES, KINDS, NONE_PRIOR, Clue
from alerts.differing import Mixes

CLEAR: Final = 0.5  # from which on a clue is called the cause: likelier than all else together
STEPS: Final = 9  # points an interval is averaged over
DAY_S: Final = 86_400.0
AHEAD: Final = 0.05  # share of causes that are noted after their effect: clocks, late events
AHEAD_S: Final = 45.0
LATE: Final = 0.15  # share of causes whose effect takes anything up to LATE_S
LATE_S: Final = 7200.0
EARLY_SYMPTOM, EARLY_S, SYMPTOM_S = (
    0.2,
    60.0,
    240.0,
)  # signals of an incident mostly begin just after it, as fast as they would act
ELSEWHERE: Final = 0.01  # weight of a clue that names another model or place, or one where bad requests clearly are not
SAME: Final[Mapping[str, float]] = {"model": 1.5, "node": 3.0}  # of one that names this one
GATHERED: Final = 0.9  # probability that bad requests gather where the cause is
BY_CHANCE: Final = 0.5  # that they gather somewhere, whatever the cause
STRIKES_ALL: Final = frozenset(
    {"deploy", "version", "scale", "node", "xid", "throttle", "saturation", "provider"}
)  # whoever asks
TENANTS: Final = frozenset({"team", "API key", "tag", "route"})
WHERE: Final = frozenset({"deployment", "cluster", "provider"})
SIBLINGS_S: Final = 120.0  # changes so near to each other are one rollout


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of the incident itself."""

    model: str  # "" for the site's
    low: datetime  # it began in [low, high]
    onset: datetime
    high: datetime
    clusters: frozenset[str] = frozenset()  # where its requests are served; empty: not known
    nodes: frozenset[str] = frozenset()  # that run its servers; empty: not known
    devices: frozenset[str] = frozenset()  # GPUs likewise


@dataclass(frozen=True, slots=True)
class Weighed:
    """A clue with its probability of being the cause, and why."""

    clue: Clue
    score: float
    why: tuple[str, ...]


def weigh(clues: Sequence[Clue], scene: Scene, mixes: Mixes) -> tuple[list[Weighed], float]:
    """The clues, the likeliest first, and the probability that none of them is the cause."""
    odds: list[tuple[float, Clue, tuple[str, ...]]] = []
    for clue in clues:
        when, said = _when(clue, scene)
        where, there = _where(clue, scene)
        who, shared = _who(clue, mixes)
        odds.append((KINDS[clue.kind].prior * when * where * who, clue, (said, *there, *shared)))
    total = NONE_PRIOR + sum(o for o, _, _ in odds)
    ranked = [Weighed(clue, o / total, why) for o, clue, why in odds]
    ranked.sort(key=lambda w: (-w.score, w.clue.onset, w.clue.key))
    return ranked, NONE_PRIOR / total


def is_clear(ranked: Sequence[Weighed]) -> bool:
    """Whether the first, with the changes that are one rollout with it, is likelier than all else together."""
    if not ranked:
        return False
    first = ranked[0]
    rollout = [w for w in ranked if _siblings(first.clue, w.clue)]
    return sum(w.score for w in rollout) >= CLEAR


def _siblings(a: Clue, b: Clue) -> bool:
    if a is b:
        return True
    near = abs((a.onset - b.onset).total_seconds()) <= SIBLINGS_S
    return near and {a.kind, b.kind} <= CHANGES and (a.model == b.model or not (a.model and b.model))


def lags(clue: Clue, scene: Scene) -> list[float]:
    """Seconds from the clue to the incident, over the intervals of both."""
    ours, theirs = _points(scene.low, scene.high), _points(clue.low, clue.high)
    return [a - b for a in ours for b in theirs]


def _points(low: datetime, high: datetime) -> list[float]:
    start, width = low.timestamp(), max((high - low).total_seconds(), 0.0)
    return [start + width * (i + 0.5) / STEPS for i in range(STEPS)]


def _when(clue: Clue, scene: Scene) -> tuple[float, str]:
    kind = KINDS[clue.kind]
    apart = lags(clue, scene)
    caused = sum(_caused(lag, kind.lag_s) for lag in apart) / len(apart)
    followed = sum(_followed(lag, min(kind.lag_s, SYMPTOM_S)) for lag in apart) / len(apart)
    chance = clue.per_day / DAY_S + kind.follows * followed
    return caused / chance, f"{_apart(clue, scene)}; {_often(clue.per_day)}"


def _caused(lag: float, mean: float) -> float:
    """Density that an effect shows `lag` seconds after its cause."""
    if lag < 0:
        return AHEAD * exp(lag / AHEAD_S) / AHEAD_S
    long = LATE / LATE_S if lag <= LATE_S else 0.0
    return (1 - AHEAD - LATE) * exp(-lag / mean) / mean + long


def _followed(lag: float, mean: float) -> float:
    """Density that a signal which is an effect begins `lag` seconds before the incident shows."""
    if lag > 0:
        return EARLY_SYMPTOM * exp(-lag / EARLY_S) / EARLY_S
    return (1 - EARLY_SYMPTOM) * exp(lag / mean) / mean


def _apart(clue: Clue, scene: Scene) -> str:
    minutes = (scene.onset - clue.onset).total_seconds() / 60
    if abs(minutes) < 1:
        return "began in the same minute"
    return f"began {minutes:.0f} min before" if minutes > 0 else f"began {-minutes:.0f} min after it"


def _often(per_day: float) -> str:
    if per_day >= 1:
        return f"by chance it would come about {per_day:.2g} times a day"
    return f"by chance it would come about once in {1 / per_day:.2g} days"


def _where(clue: Clue, scene: Scene) -> tuple[float, tuple[str, ...]]:
    if clue.model and scene.model:
        if clue.model != scene.model:
            return ELSEWHERE, ("another model",)
        return (SAME["model"], ("names this model",)) if clue.kind in CHANGES else (1.0, ())
    if clue.node and scene.nodes:
        if clue.node not in scene.nodes and clue.device not in scene.devices:
            return ELSEWHERE, ("no server of the model runs on that node",)
        return SAME["node"], (f"a server of the model runs on {clue.node}",)
    clusters = {value for name, value in clue.places if name == "cluster"}
    if clusters and scene.clusters and not clusters & scene.clusters:
        return ELSEWHERE, (f"the model is not served in {min(clusters)}",)
    return 1.0, ()


def _who(clue: Clue, mixes: Mixes) -> tuple[float, tuple[str, ...]]:
    """Whether bad requests gather where the clue is: of its places the narrowest that tells anything."""
    for name, value in clue.places:
        for mix in mixes.named(name, value):
            if not mix.tells:
                continue
            by_chance = BY_CHANCE / max(mixes.values(mix.dimension), 2)
            if mix.gathers:
                return GATHERED / by_chance, (mix.words(),)
            missed = ELSEWHERE if mix.is_elsewhere else 1 - GATHERED
            return missed / (1 - by_chance), (f"bad requests do not gather there: {mix.words()}",)
    narrow = _narrower(clue, mixes)
    return (1.0, ()) if narrow is None else ((1 - GATHERED) / (1 - BY_CHANCE), (f"it would hit others, too: {narrow}",))


def _narrower(clue: Clue, mixes: Mixes) -> str | None:
    """Where almost all bad requests are of one tenant, or of a version all at one place: nothing that the clue would explain."""
    for mix in mixes.ranked:
        every = {mix.dimension, *(dimension for dimension, _ in mix.also)}
        if not mix.tells or mix.bad < GATHERED * mix.bad_total:
            continue
        if clue.kind in STRIKES_ALL and every <= TENANTS:
            return mix.words()
        if clue.kind == "version" and every & WHERE:
            return mix.words()
    return None


def as_json(weighed: Weighed) -> dict[str, object]:
    """As an explanation keeps it."""
    clue = weighed.clue
    return {
        "kind": clue.kind, "subject": clue.subject, "onset": clue.onset.isoformat(), "note": clue.note,
        "until": clue.until.isoformat() if clue.until else None, "score": round(weighed.score, 3), "why": list(weighed.why),
        **{name: value for name, value in (("node", clue.node), ("device", clue.device), ("model", clue.model)) if value},
    }  # fmt: skip


def clock(at: datetime) -> str:
    """An instant as people say it inside a sentence: the time of the day."""
    return wording.said(at)[11:16]
