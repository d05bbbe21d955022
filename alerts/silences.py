"""What is muted here is silenced in Alertmanager, too: it goes on hearing of the alert and notifies nobody.

To say nothing of a muted alert would end it there, and people would read "resolved". So each muted alert gets a
silence of exactly its labels, known as ours by its author (each site has a name of its own) and as this one by its
comment. What is no longer muted, or muted for another while, is taken back. Doing it twice changes nothing.
Alertmanagers of one cluster tell each other of silences: told both at once they hold each twice. Of the same the one
with the smallest id stays, whichever of them is asked.

Source: Alertmanager API v2, `/silences` and `/silence/{id}`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from alerts.muting import Quiet, named
from alerts.posting import Request, ask, post
from alerts.wording import instant
from observe.schema import Alert, Reply

AUTHOR: Final = "observe"  # before the name of the site
_HEADERS: Final = {"Content-Type": "application/json"}
_CAP: Final = 4 * 1024 * 1024  # bytes of its list of silences that are read
_OVER: Final = "expired"


@dataclass(frozen=True, slots=True)
class Silence:
    """One alert that is to be silent, until when and why."""

    alert: Alert
    until: datetime
    why: str

    @property
    def comment(self) -> str:
        """What makes it known as this one: the alert, its end, the reason."""
        return f"{self.alert.alert_id} until {instant(self.until)}: {self.why}"


def wanted(alerts: Sequence[Alert], quiet: Quiet, now: datetime) -> tuple[Silence, ...]:
    """The alerts that fire and are muted."""
    found = [(a, quiet.until(named(a), now)) for a in alerts if a.state == "firing" and a.severity != "inform"]
    return tuple(Silence(a, f[0], f[1]) for a, f in sorted(found, key=lambda x: x[0].alert_id) if f is not None)


def author(site: str) -> str:
    """Under what name a site's silences stand.

    >>> author("3f2a91c0")
    'observe 3f2a91c0'
    """
    return f"{AUTHOR} {site}".strip()


def agree(address: str, silences: Sequence[Silence], now: datetime, timeout_s: float, by: str = AUTHOR) -> Reply:
    """Bring one Alertmanager to exactly these silences of ours.

    Args:
        address: of the Alertmanager.
        silences: what is to be silent there.
        now: the present; a silence begins then.
        timeout_s: for each request, s.
        by: our author's name; silences of others are left alone.

    Returns:
        Taken when all of it is so; else the first thing that was not.
    """
    home = f"{address.rstrip('/')}/api/v2"
    answer = ask(Request(f"{home}/silences", method="GET", cap=_CAP), timeout_s)
    if not answer.reply.ok:
        return answer.reply
    try:
        there = _ours(json.loads(answer.text), by)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Reply(False, answer.reply.status, True, f"silences are not as its API says: {type(error).__name__}")
    asked = {s.comment: s for s in silences}
    for comment in asked.keys() - there.keys():
        body = json.dumps(_posted(asked[comment], now, by)).encode()
        reply = post(Request(f"{home}/silences", body, _HEADERS), timeout_s)
        if not reply.ok:
            return reply
    for name in _surplus(there, asked):
        reply = post(Request(f"{home}/silence/{name}", method="DELETE"), timeout_s)
        if not reply.ok and reply.status != 404 and "already expired" not in (reply.error or ""):
            return reply
    return Reply(True, answer.reply.status)


def _ours(rows: Sequence[Mapping[str, Any]], by: str) -> dict[str, list[str]]:
    """Silences of ours that have not ended: ids by comment, ascending."""
    made: dict[str, list[str]] = defaultdict(list)
    for r in sorted(rows, key=lambda r: str(r["id"])):
        if r["createdBy"] == by and r["status"]["state"] != _OVER:
            made[r["comment"]].append(str(r["id"]))
    return made


def _surplus(there: Mapping[str, Sequence[str]], asked: Mapping[str, Silence]) -> list[str]:
    """Ids of silences that are to go: of what is asked all but the first, of everything else all."""
    return [name for comment, names in sorted(there.items()) for name in names[comment in asked :]]


def _posted(silence: Silence, now: datetime, by: str) -> dict[str, Any]:
    labels = {k: str(v) for k, v in silence.alert.labels.items()}
    return {
        "matchers": [{"name": k, "value": v, "isRegex": False, "isEqual": True} for k, v in sorted(labels.items())],
        "startsAt": instant(now), "endsAt": instant(silence.until), "createdBy": by, "comment": silence.comment,
    }  # fmt: skip
