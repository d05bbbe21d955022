"""Whom a site tells of incidents, and when it tells nobody: receivers and maintenance.

Source: our own (`observe/v1`, `alerts:` of kind `Site`, `maintenance:` of kind `Monitoring`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from observe.spec.nearest import did_you_mean
from observe.spec.quantity import Malformed
from observe.spec.schedule import Cron, Zone, latest
from observe.spec.written import Address, AnyPath, Duration, HostPort, Instant, Names, Secret, Written, as_text

Kinds = Literal["webhook", "slack", "pagerduty", "email"]
Severity = Literal["page", "ticket"]
_NEEDS: Final[Mapping[str, Mapping[str, str]]] = {  # by type: what it cannot do without, and how that is written
    "webhook": {"url": '"https://ops.example.com/observe"', "secret": "env:OPS_SECRET"},
    "slack": {"webhook": "env:SLACK_WEBHOOK"},
    "pagerduty": {"routingKey": "env:PAGERDUTY_KEY"},
    "email": {"smtp": '"mail.example.com:587"', "from": "observe@example.com", "to": "[ops@example.com]"},
}
_TAKES: Final[Mapping[str, tuple[str, ...]]] = {
    "webhook": (), "slack": (), "pagerduty": ("url",), "email": ("tls", "username", "password"),
}  # fmt: skip
_EVERY: Final = ("ca", "type", "severities", "models")
_LONGEST_S: Final = 7 * 86_400.0  # of one maintenance that comes again
_MAILBOX: Final = r"[^\s@<>,;:\"\\]+@[^\s@<>,;:\"\\]+"


def _mailbox(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(_MAILBOX, value):
        raise Malformed(f"{value!r} is not an address of a mailbox", "ops@example.com")
    return value


Mailbox = Annotated[str, BeforeValidator(_mailbox), as_text("mailbox", _MAILBOX, "ops@example.com")]


def _kind(value: Any) -> Any:
    if isinstance(value, str) and value not in _NEEDS:
        raise Malformed(f"unknown type of receiver {value!r}", did_you_mean(value, _NEEDS))
    return value


class ReceiverSpec(Written):
    """Somebody who is told of incidents: a type, what that type needs, and what it wants to hear of."""

    type: Annotated[Kinds, BeforeValidator(_kind)]
    severities: tuple[Severity, ...] = ("page", "ticket")
    models: Names = ()  # empty: of every model
    url: Address | None = None
    secret: Secret | None = None
    webhook: Secret | None = None
    routing_key: Secret | None = Field(default=None, alias="routingKey")
    smtp: HostPort | None = None
    sender: Mailbox | None = Field(default=None, alias="from")
    to: Annotated[tuple[Mailbox, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)] = ()
    tls: Literal["starttls", "implicit", "none"] | None = None  # of email; starttls when not written
    username: str | None = None
    password: Secret | None = None
    ca: AnyPath | None = None

    @model_validator(mode="before")
    @classmethod
    def _its_own(cls, data: Any, info: ValidationInfo) -> Any:
        kind = data.get("type") if isinstance(data, dict) else None
        if info.context is None or not isinstance(kind, str) or kind not in _NEEDS:
            return data
        known = {f.alias or n for n, f in cls.model_fields.items()}
        mine = (*_NEEDS[kind], *_TAKES[kind], *_EVERY)
        foreign = next((field for field in data if field in known and field not in mine), None)
        if foreign is not None:
            raise Malformed(
                f"a receiver of type {kind} has no {foreign}", f"it takes {', '.join(mine[:-3])}", (foreign,)
            )
        missing = [f"{name}: {example}" for name, example in _NEEDS[kind].items() if not data.get(name)]
        if missing:
            names = " and ".join(m.partition(":")[0] for m in missing)
            raise Malformed(f"a receiver of type {kind} needs {names}", ", ".join(missing))
        return data

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if not self.severities:
            raise Malformed(
                "a receiver that hears of nothing", "severities: [page, ticket], or remove it", ("severities",)
            )
        if (self.username is None) != (self.password is None):
            raise Malformed("username and password go together", "username: observe, password: env:SMTP_PASSWORD")
        if self.tls == "none" and self.password is not None:
            raise Malformed("a password would travel in clear", "tls: starttls", ("tls",))
        return self


class Maintenance(Written):
    """A time in which nobody is told: once (`from`, `to`) or again and again (`cron`, `for`). Found and shown as ever."""

    start: Instant | None = Field(default=None, alias="from")
    end: Instant | None = Field(default=None, alias="to")
    cron: Cron | None = None
    for_s: Duration | None = Field(default=None, alias="for", gt=0)
    timezone: Zone = "UTC"
    why: Annotated[str, Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _when(self) -> Self:
        once, again = (self.start, self.end), (self.cron, self.for_s)
        if not (None not in once and again == (None, None)) and not (None not in again and once == (None, None)):
            hint = 'from: 2026-11-28T22:00Z, to: 2026-11-29T02:00Z — or cron: "0 2 * * 0", for: 2h'
            raise Malformed("a maintenance has either from and to, or cron and for", hint)
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise Malformed("a maintenance must end after it starts", "from: 2026-11-28T22:00Z, to: 2026-11-29T02:00Z")
        if self.for_s is not None and self.for_s > _LONGEST_S:
            raise Malformed("a maintenance of more than a week would hide more than it spares", "for: 2h", ("for",))
        return self

    def until(self, at: datetime) -> datetime | None:
        """When the maintenance that is under way at an instant ends; None when none is."""
        if self.start is not None and self.end is not None:
            return self.end if self.start <= at < self.end else None
        began = latest(self.cron or "", self.timezone, at)
        end = began + timedelta(seconds=self.for_s or 0.0) if began else at
        return end if at < end else None


class SiteMaintenance(Maintenance):
    """The same for some models, or for everything."""

    models: Names = ()
