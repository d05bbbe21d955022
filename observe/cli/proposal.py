"""Files for what was seen: a Monitoring per model, and a site when there is none.

Thresholds are what was observed, rounded up; the figure stands beside them, so that a person can judge.
Names come from traffic: they reach a file only quoted.

Source: our own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from observe.cli.traffic import SINCE, Latency, Predicted, Seen, Served
from observe.spec.collecting import TYPES
from observe.spec.quantity import write_duration
from observe.spec.written import NAME

OBJECTIVES: Final = (0.999, 0.995, 0.99, 0.98, 0.97, 0.96, 0.95)  # all tiers of an SLO can fire at these
_FEW: Final = 100  # requests below which nothing is proposed about latency
_MOST_FEATURES: Final = 60
_STEPS: Final = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_HALF = re.compile(r"[\ud800-\udfff]")  # of a character
_HEAD: Final = "# Proposed by `observe init --from-traffic`; the figures are of the last {days} seen. Change what you know better.\n"


def files(seen: Seen, watched: Collection[str], store: Path | None) -> dict[str, str]:
    """Texts by path below the new configuration's folder.

    Args:
        seen: what the store has seen.
        watched: models that are watched already; nothing is proposed for them.
        store: the data directory of a new site; None when there is one.
    """
    made: dict[str, str] = {}
    if store is not None:
        made["observe.yaml"] = _site(seen, store)
    taken: set[str] = set(watched)
    both = {p.name: p for p in seen.predicted}
    for served in seen.served:
        if served.name not in watched:
            name = _name(served.name, taken)
            made[f"models/{name}.yaml"] = _head() + _of_served(served, name)
            both.pop(served.name, None)
    for name, predicted in both.items():
        if name not in taken:
            made[f"models/{name}.yaml"] = _head() + _of_predicted(predicted)
    return made


def _head() -> str:
    return _HEAD.format(days=SINCE.lower().replace(" day", " days"))


def _name(seen: str, taken: set[str]) -> str:
    """A name for a model that traffic calls `seen`; itself where that is a name.

    >>> _name("Org/Llama 3", set()), _name("x", {"x"})
    ('org-llama-3', 'x-2')
    """
    made = re.sub(r"[^a-z0-9._]+", "-", seen.casefold()).lstrip("._-")[:60].rstrip("-") or "model"
    name = seen if NAME.fullmatch(seen) and seen not in taken else made
    for n in range(2, len(taken) + 3):
        if name not in taken:
            break
        name = f"{made}-{n}"
    taken.add(name)
    return name


def _of_served(served: Served, name: str) -> str:
    names = [*((served.name,) if served.name != name else ()), *served.also]
    lines = ["apiVersion: observe/v1", "kind: Monitoring", f"metadata: {{name: {_quoted(name)}}}"]
    if names:
        lines += [f"selector: {{gatewayModels: {_list(names)}}}  # other names its requests came under"]
    lines += ["slos:", *_slos(served)]
    lines += [
        "drift:",
        "  source: attempts",
        "  features: [tokens_in, tokens_out]  # what people ask, and how long answers are",
    ]
    return "\n".join(lines) + "\n"


def _slos(served: Served) -> Iterator[str]:
    latencies = (
        ("ttft", "ttft_s", "had their first token", served.ttft),
        ("duration", "duration_s", "ended", served.duration),
    )
    for name, column, what, seen in latencies:
        if seen.n < _FEW:
            yield f"  # {name}: {seen.n} requests are too few to propose a threshold"
            continue
        yield from _latency_slo(name, column, what, seen)
    objective, good = availability(served.ok, served.n), served.ok / served.n
    yield f"  # observed: {good:.4%} of {served.n:,} requests ended well{'; this promise burns from the start' if good < objective else ''}"
    yield f"  - {{name: availability, good: status = ok, objective: {objective * 100:g}%}}"


def _latency_slo(name: str, column: str, what: str, seen: Latency) -> Iterator[str]:
    objective, observed = seen.trusted
    yield f"  # observed: {objective} of {seen.n:,} requests {what} within {write_duration(round(observed, 3))}"
    yield f"  - {{name: {name}, latency: {column}, below: {write_duration(rounded_up(observed))}, objective: {objective}}}"


def availability(ok: int, n: int) -> float:
    """The strictest objective whose error budget is at least twice what was seen and one more; the last when none is.

    >>> availability(9_990, 10_000), availability(50, 100), availability(4, 4)
    (0.995, 0.95, 0.95)
    """
    bad = (n - ok + 1) / n
    return next((o for o in OBJECTIVES if 2 * bad <= 1 - o), OBJECTIVES[-1])


def rounded_up(seconds: float) -> float:
    """The next round duration at or above, s; at least a millisecond.

    >>> rounded_up(0.412), rounded_up(7.9), rounded_up(0.0)
    (0.5, 8.0, 0.001)
    """
    scale = 0.001
    while seconds > 10 * scale:
        scale *= 10
    return round(next(step * scale for step in _STEPS if step * scale >= min(seconds, 10 * scale)), 6)


def _of_predicted(predicted: Predicted) -> str:
    listed = predicted.features if 0 < len(predicted.features) <= _MOST_FEATURES else ()
    lines = ["apiVersion: observe/v1", "kind: Monitoring", f"metadata: {{name: {_quoted(predicted.name)}}}"]
    lines += [f"# observed: {predicted.n:,} predictions with {len(predicted.features)} features"]
    lines += ["drift:", "  source: predictions"]
    if listed:
        lines += ["  features:  # remove the list to watch every feature that arrives"]
        lines += [f"    - {_quoted(feature)}" for feature in listed]
    return "\n".join(lines) + "\n"


def _site(seen: Seen, store: Path) -> str:
    lines = [_head().rstrip(), "apiVersion: observe/v1", "kind: Site", f"store: {{path: {_quoted(str(store))}}}"]
    senders = [s for s in seen.senders if s in TYPES and s not in ("files", "prometheus", "nvml", "spendlogs")]
    rows = [f"  {_quoted(s)}: {{type: {s}}}" for s in senders]
    rows += [
        f"  {_quoted(name)}: {{type: prometheus, targets: {_list(targets)}}}"
        for name, targets in seen.targets.items()
        if NAME.fullmatch(name) and name not in senders
    ]
    lines += ["collectors:  # sources that were seen", *rows] if rows else []
    lines += ["falseAlarms: {page: 1 per 90d, ticket: 1 per 7d}  # notified incidents while nothing changed"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    r"""A text as YAML reads it back; what cannot be printed is escaped, and half a character cannot be kept.

    >>> _quoted("chat"), _quoted("a: \x85"), _quoted("\ud83d")
    ('chat', '"a: \\U00000085"', '"\\U0000fffd"')
    """
    if NAME.fullmatch(text) and not text[0].isdigit() and text not in {"true", "false", "null"}:
        return text
    written = json.dumps(_HALF.sub("\ufffd", text), ensure_ascii=False)
    return "".join(c if c.isprintable() and c != "\ufffd" else f"\\U{ord(c):08x}" for c in written)


def _list(texts: Collection[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"
