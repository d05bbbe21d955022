"""What people decide about actions: approve, deny, close a circuit breaker; checked before it is written down.

The command and the action's next step are one transaction. Operators decide; where the target says
`approvers: admin` only admins approve. What a permit would refuse now cannot be approved, and the refusal says why.

Source: our own; TRUST section 2, docs/actions.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from alerts import ledger, permits
from observe.app import actions
from observe.errors import AccessError, UsageError
from observe.schema import Action
from observe.spec.nearest import did_you_mean

if TYPE_CHECKING:
    from observe.access import Principal
    from observe.spec import Config
    from observe.store import Store

VERBS: Final = ("approve", "deny", actions.CLOSE)
_SHORTEST: Final = 8  # characters by which an action may be named, when no other begins with them
_IDS: Final = "select action_id from action order by changed_at desc limit 2000"


@dataclass(frozen=True, slots=True)
class Step:
    """What a command does to an action; `before` and `after` are None when it is about a circuit breaker."""

    object: str
    before: Action | None = None
    after: Action | None = None


def decided(store: Store, config: Config, who: Principal, said: Mapping[str, Any], now: datetime) -> Step:
    """The step that a person asks for.

    Args:
        store: what there is.
        config: what is declared.
        who: asks.
        said: verb, object and reason.
        now: the present.

    Raises:
        UsageError: it cannot be done, and why.
        AccessError: 403, the target wants another role.
    """
    verb, reason = said["verb"], said.get("reason")
    if verb != "approve" and not reason:
        raise UsageError(f"{verb} needs a reason: people will ask why")
    if verb == actions.CLOSE:
        return _closed(store, str(said["object"]))
    before = _named(store, str(said["object"]))
    if verb == "approve" and permits.approvers(before, config) == "admin" and not who.may("admin"):
        raise AccessError(f"{before.target} wants an admin's word; {who.name!r} is {who.role}", 403)
    try:
        if verb == "deny":
            _refuse_over(before)
            return Step(before.action_id, before, ledger.deny(before, who.name, str(reason), now))
        _refuse(before, store, config, now)
        return Step(before.action_id, before, ledger.approve(before, who.name, now))
    except ledger.IllegalStep as error:
        raise UsageError(str(error)) from None


def _refuse_over(before: Action) -> None:
    if before.state not in ("proposed", "approved"):
        raise UsageError(f"{before.action_id} is {before.state}; only what was not sent yet can be denied")


def _refuse(before: Action, store: Store, config: Config, now: datetime) -> None:
    """Say what stands in the way of an approval that could be one."""
    if before.state != "proposed":
        by = f" by {before.approved_by}" if before.approved_by else ""
        raise UsageError(f"{before.action_id} is {before.state}{by}; only a proposal can be approved")
    if before.mode == "dry_run":
        raise UsageError(
            f"{before.action_id} is a dry run, nothing would be sent; the site says so until it has a target for "
            f"{before.target!r} and actions: {{mode: live}}, then the next proposal can be approved"
        )
    hold = permits.permit(before, actions.known(store, config, now), now)
    if hold is not None:
        raise UsageError(f"{before.action_id} would not be sent: {hold.why}")


def _named(store: Store, name: str) -> Action:
    """The action that a name, or its beginning, means."""
    history = actions.one(store, name)
    if history is not None:
        return history.now
    ids = store.read(_IDS)["action_id"].to_list()
    meant = [i for i in ids if len(name) >= _SHORTEST and i.startswith(name)]
    if len(meant) == 1:
        found = actions.one(store, meant[0])
        assert found is not None
        return found.now
    if meant:
        raise UsageError(f"{len(meant)} actions begin with {name!r}; write more of it")
    raise UsageError(f"there is no action {name!r}; {did_you_mean(name, ids) or 'observe actions lists them'}")


def _closed(store: Store, name: str) -> Step:
    model, _, kind = name.rpartition("/")
    known = actions.broken(store)
    if (model, kind) not in known:
        names = ", ".join(f"{m}/{k}" for m, k in sorted(known)) or "none"
        raise UsageError(f"no circuit breaker {name!r} is open; open are: {names}")
    return Step(name)
