"""What people do: log in, read pages, ask SQL, and give commands that are recorded before they act.

Source: our own; TRUST section 2, ARCHITECTURE section 3 ("two doors").
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from observe.access import Access, Asked, Principal
from observe.app import actions, aftermath, deciding
from observe.app.commanding import VERBS, checked
from observe.chain import chained
from observe.clock import Clock
from observe.errors import QueryError, UsageError
from observe.schema import Command, Window
from observe.spec.nearest import nearest
from observe.sqlworker import Answer, Limits, SqlWorker
from observe.store import Store, tables_named

if TYPE_CHECKING:
    from observe.credentials import Credential
    from observe.spec import Config
    from observe.store.transaction import Transaction


class People:
    """The API's hands: every call says who asks, and at what time is known."""

    def __init__(self, store: Store, access: Access, sql: SqlWorker, clock: Clock) -> None:
        self._store, self._access, self._sql, self._clock = store, access, sql, clock
        self._config: Config | None = None

    def adopt(self, config: Config) -> None:
        """Go by another configuration: it says who may approve what."""
        self._config = config

    def permit(self, asked: Asked, presented: str | None) -> Principal:
        """Who presents this token, if they may do what is asked.

        Raises:
            AccessError: 401 or 403.
        """
        return self._access.require(asked, presented, self._clock.now())

    def known(self, asked: Asked, presented: str | None) -> Principal | None:
        """The same without waiting for anything; None where only `permit` can say, which may write."""
        return self._access.knows(asked, presented, self._clock.now())

    def open_session(self, token: str | None, once: str | None) -> Mapping[str, str | None]:
        """A session for the holder of a token or of a one-time code.

        Raises:
            AccessError: 401, unknown or spent.
            UsageError: neither was given.
        """
        now = self._clock.now()
        if once:
            return _opened(*self._access.redeem(once, now))
        if token:
            return _opened(*self._access.open_session(token, now))
        raise UsageError('a session needs {"token": …} or {"once": …}')

    def close_session(self, session: str) -> None:
        """End a session."""
        self._access.close_session(session)

    def one_time_code(self, who: Principal) -> str:
        """A code that opens one session as `who`."""
        return self._access.one_time_code(who, self._clock.now())

    def read_ipc(self, sql: str, params: Mapping[str, Any], span: Mapping[str, str] | None) -> tuple[bytes, str]:
        """A query of our own pages as an Arrow stream, and the watermark it holds for.

        Args:
            sql: one SELECT over the views.
            params: values of its named parameters.
            span: `start` and `end` (ISO 8601); bulk tables then hold only rows of that time.

        Raises:
            QueryError: DuckDB refuses it.
            UsageError: `span` is not two instants.
        """
        watermark = self._store.watermark()
        return self._store.read_ipc(sql, params, _window(span)), watermark.isoformat() if watermark else ""

    def answer(self, sql: str, fresh: bool) -> tuple[Answer, str]:
        """A person's SQL, answered in the sandbox, and the watermark it holds for.

        Raises:
            QueryError: not one SELECT, DuckDB's complaint, or a limit was met.
        """
        snapshot = self._store.snapshot(tables_named(sql), stale_ok=not fresh)
        try:
            answer = self._sql.query(sql, snapshot.views, Limits())
        except QueryError as error:
            if not self._store.set_aside(str(error)):  # a damaged file: the others answer
                raise
            snapshot = self._store.snapshot(tables_named(sql))
            answer = self._sql.query(sql, snapshot.views, Limits())
        return answer, snapshot.watermark.isoformat() if snapshot.watermark else ""

    def command(self, who: Principal, asked: Mapping[str, Any]) -> Command:
        """Record what a person does; from then on it acts: every stage reads the commands it goes by.

        Raises:
            UsageError: an unknown verb, or what it names cannot be meant.
        """
        verb, target, reason = asked.get("verb"), asked.get("object"), asked.get("reason")
        if verb not in VERBS:
            near = nearest(str(verb), VERBS)
            hint = f"did you mean {near!r}? " if near else ""
            raise UsageError(f"no verb {verb!r}; {hint}there are: {', '.join(VERBS)}")
        if not isinstance(target, str) or not 0 < len(target) <= 200:
            raise UsageError("object must name an incident, action or monitor")
        parameters = asked.get("parameters") or {}
        if not isinstance(parameters, Mapping) or not _fits(parameters):
            raise UsageError("parameters must be a JSON object of at most 8 KiB of valid text")
        why = (str(reason)[:2000].strip() or None) if reason else None
        if verb in deciding.VERBS:
            return self._decide(who, {"verb": verb, "object": target, "reason": why, "parameters": parameters})
        meant = checked(
            self._store, verb, {"object": target, "reason": why, "parameters": parameters}, self._clock.now()
        )
        return self._record(who, verb, target, why, meant)

    def _decide(self, who: Principal, said: Mapping[str, Any]) -> Command:
        """Write down a decision about an action, and the action's next step with it."""
        assert self._config is not None
        now = self._clock.now()
        step = deciding.decided(self._store, self._config, who, said, now)
        with self._store.change() as tx:
            command = written(tx, now, who, {**said, "object": step.object})
            if step.before and step.after and not actions.add_in(tx, step.before, step.after):
                raise UsageError(f"{step.object} changed meanwhile; look again")
        if said["verb"] == actions.CLOSE:
            model, _, kind = step.object.rpartition("/")
            aftermath.write(self._store, model, kind, f"closed by {who.name}: {said['reason']}", now, is_open=False)
        return command

    def _record(
        self, who: Principal, verb: str, target: str, reason: str | None, parameters: Mapping[str, Any]
    ) -> Command:
        said = {"verb": verb, "object": target, "reason": reason, "parameters": parameters}
        with self._store.change() as tx:
            return written(tx, self._clock.now(), who, said)


def written(tx: Transaction, at: datetime, who: Principal, said: Mapping[str, Any]) -> Command:
    """The command that is appended to the chain: who said what; `said` holds verb, object, reason and parameters."""
    newest = tx.execute("select chain from core.command order by rowid desc limit 1")
    named = {"ts": at, "command_id": f"cmd-{secrets.token_hex(8)}", "actor": who.name, "role": who.role}
    command = chained({**named, **said}, newest[0][0] if newest else "")
    tx.insert([command])
    return command


def _fits(parameters: Mapping[str, Any]) -> bool:
    try:
        return len(json.dumps(parameters, ensure_ascii=False).encode()) <= 8192
    except UnicodeEncodeError:  # a lone surrogate cannot be stored
        return False


def _window(span: Mapping[str, str] | None) -> Window | None:
    if not span:
        return None
    try:
        return Window(datetime.fromisoformat(span["start"]), datetime.fromisoformat(span["end"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError('window needs {"start", "end"} as ISO 8601') from error


def _opened(secret: str, kept: Credential) -> Mapping[str, str | None]:
    expires = kept.expires_at.isoformat() if kept.expires_at else None
    return {"session": secret, "role": kept.role, "name": kept.name, "expires_at": expires}
