"""What the store holds of actions, and the one way to add a step: nobody overwrites what somebody else just did.

Source: our own; docs/actions.md.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from alerts import ledger, permits
from alerts.ledger import History
from observe.schema import Action
from observe.schema.exchange import nouns

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.store import Store
    from observe.store.transaction import Transaction

CLOSE: Final = "close_breaker"  # the verb by which a person closes a circuit breaker
_OPEN: Final = """select * from core.action where action_id in (
  select action_id from action where state in ('proposed', 'approved', 'sent', 'acknowledged')) order by changed_at"""
_RECENT: Final = """select * from core.action where action_id in (
  select action_id from core.action where state = 'sent' and changed_at > $since) order by changed_at"""
_ENDED: Final = """select action_id from action where state = 'proposed'
  and incident_id in (select incident_id from incident where state = 'resolved')"""
_COUNT: Final = "select count(*) from core.action"
_ONE: Final = "select * from core.action where action_id = $id order by changed_at"
_JUDGED: Final = """select * from action where (outcome ->> '$.verdict') in ('helped', 'no change', 'worse')
qualify row_number() over (partition by model, kind order by (outcome ->> '$.judged_at') desc) <= 2"""
_CLOSED: Final = "select object, max(ts) as ts from command where verb = 'close_breaker' group by object"
_NEWEST: Final = "select max(changed_at) from core.action where action_id = ?"


def under_way(store: Store) -> dict[str, History]:
    """Every action to which something can still happen, by id."""
    return ledger.histories(nouns(Action, store.read(_OPEN)))


def count(store: Store) -> int:
    """How many rows there are; a look at a store in which nothing happened costs only this."""
    return int(store.read(_COUNT).item())


def unwanted(store: Store) -> frozenset[str]:
    """Ids of proposals whose incident is over."""
    return frozenset(store.read(_ENDED)["action_id"].to_list())


def one(store: Store, action_id: str) -> History | None:
    """One action; None when there is none."""
    rows = nouns(Action, store.read(_ONE, {"id": action_id}))
    return History(tuple(rows)) if rows else None


def known(store: Store, config: Config, now: datetime) -> permits.Known:
    """What permits look at: actions as far back as a cooldown reaches, and the circuit breakers that are open."""
    recent = ledger.histories(nouns(Action, store.read(_RECENT, {"since": now - permits.memory(config)})))
    return permits.Known(config, tuple(recent.values()), broken(store))


def broken(store: Store) -> dict[tuple[str, str], str]:
    """The circuit breakers that are open, by model and kind of action, and why; the last two outcomes of each decide."""
    judged = nouns(Action, store.read(_JUDGED))
    return permits.broken(judged, dict(store.read(_CLOSED).iter_rows())) if judged else {}


def add(store: Store, before: Action, row: Action) -> bool:
    """Append a step, unless somebody took another one meanwhile; whether it was appended."""
    with store.change() as tx:
        return add_in(tx, before, row)


def add_in(tx: Transaction, before: Action, row: Action) -> bool:
    """The same inside a transaction."""
    if tx.execute(_NEWEST, [before.action_id])[0][0] != before.changed_at:
        return False
    return tx.insert([row]) == 1
