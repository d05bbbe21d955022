"""How a page reads: SQL with named parameters in, a Polars frame out.

The face process holds no data. Every query goes to the core's read door over loopback as the
person's own session, and comes back as an Arrow IPC stream. A small cache keyed by query,
parameters and watermark makes twenty open pages cost little more than one, and the cards of one
page that ask the same question at the same time share one answer.

Source: our own; the split of processes is measured in ARCHITECTURE section 4.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta
from io import BytesIO
from typing import Protocol

import httpx
import polars as pl

from dashboards.results import CACHE_BYTES, Results
from observe.certificates import Own
from observe.errors import AccessError, ObserveError, Overloaded, QueryError, SourceError

Value = str | int | float | datetime | None
_NAME = re.compile(r"\$([a-z_][a-z0-9_]*)")
SLACK = timedelta(minutes=10)  # tries of one request may lie on both sides of a range's edge
PULSE_S = 3.0  # a session and the watermark are trusted this long


class Reader(Protocol):
    """Anything a page can read from."""

    def __call__(self, sql: str, params: Mapping[str, Value] | None = None) -> pl.DataFrame:
        """The answer to `sql`; parameters the text does not name are left out."""
        ...


def used(sql: str, params: Mapping[str, Value] | None) -> dict[str, Value]:
    """The parameters that `sql` names.

    >>> used("select $a", {"a": 1, "b": 2})
    {'a': 1}
    """
    names = set(_NAME.findall(sql))
    return {k: v for k, v in (params or {}).items() if k in names}


def window(params: Mapping[str, Value]) -> dict[str, dict[str, str]]:
    """The span of event time that a query's parameters name, for the core to choose files by; empty when they do not say.

    >>> window({"start": datetime(2026, 11, 20, 1), "end": datetime(2026, 11, 20, 2)})
    {'window': {'start': '2026-11-20T00:50:00', 'end': '2026-11-20T02:10:00'}}
    """
    lows = [v for k, v in params.items() if k in ("start", "from", "opened", "recent") and isinstance(v, datetime)]
    end = params.get("end")
    if not lows or not isinstance(end, datetime) or "now" in params:
        return {}
    return {"window": {"start": (min(lows) - SLACK).isoformat(), "end": (end + SLACK).isoformat()}}


def literal(value: Value) -> str:
    """A value as SQL text, quotes doubled; times are UTC.

    >>> literal("it's")
    "'it''s'"
    """
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.isoformat()}'"
    return "'" + value.replace("'", "''") + "'"


def written_out(sql: str, params: Mapping[str, Value] | None) -> str:
    """The query as a person can run it with `observe sql`: parameters written as literals."""
    return _NAME.sub(lambda m: literal((params or {}).get(m.group(1))), sql).strip()


class CoreClient:
    """The face's one connection to the core; safe to use from many threads.

    Args:
        url: address of the core's API, e.g. `http://127.0.0.1:8080`.
        key: secret shared with the core, sent as `X-Observe-Face`.
        timeout_s: of one query, s.
        own: how to know the core when it speaks TLS.
    """

    def __init__(self, url: str, key: str, timeout_s: float = 20.0, own: Own | None = None) -> None:
        self._own = own
        self._http = httpx.Client(
            base_url=url,
            headers={"X-Observe-Face": key},
            timeout=timeout_s,
            trust_env=False,
            verify=own.context if own else True,
        )
        self._results = Results(CACHE_BYTES)
        self._pulses: dict[str, tuple[float, str]] = {}
        self._asked: dict[tuple[str, str], Future[bytes]] = {}
        self._lock = threading.Lock()

    def session(self, credentials: Mapping[str, str]) -> str:
        """A new session of the core for `{"token": ...}` or `{"once": ...}`.

        Raises:
            AccessError: the core does not know them.
            SourceError: the core does not answer.
        """
        answer = self._post("/api/v1/sessions", dict(credentials), "")
        return str(answer.json()["session"])

    def end(self, session: str) -> None:
        """End a session of the core; a core that is away forgets it by itself in time."""
        with self._lock:
            self._pulses.pop(session, None)
        with suppress(httpx.HTTPError):
            self._send("DELETE", "/api/v1/sessions", {"Authorization": f"Bearer {session}"})

    def pulse(self, session: str) -> datetime | None:
        """The core's watermark, which proves that `session` is good; asked at most every 3 s a session.

        Raises:
            AccessError: the session is unknown or has ended.
            SourceError: the core does not answer.
        """
        now = time.monotonic()
        with self._lock:
            at, mark = self._pulses.get(session, (-1e9, ""))
        if now - at > PULSE_S:
            mark = self._post("/api/v1/read", {"sql": "select 1 as pulse", "params": {}}, session).headers.get(
                "X-Observe-Watermark", ""
            )
            with self._lock:
                if len(self._pulses) > 1000:
                    self._pulses.clear()
                self._pulses[session] = (now, mark)
        return datetime.fromisoformat(mark) if mark and mark != "None" else None

    def read(self, sql: str, params: Mapping[str, Value], session: str) -> pl.DataFrame:
        """The answer to one query, from the cache while the watermark stands and for `FRESH_S` at most.

        Raises:
            AccessError: the session is unknown or has ended.
            QueryError: the core refused the query.
            SourceError: the core does not answer.
        """
        mark = self.pulse(session)
        bound = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in params.items()}
        name = hashlib.sha256(json.dumps([sql, bound, str(mark)], sort_keys=True).encode()).hexdigest()
        held = self._results.get(name)
        if held is None:
            body = {"sql": sql, "params": bound, **window(params)}
            held = self._once(name, session, lambda: self._post("/api/v1/read", body, session).content)
        return pl.read_ipc_stream(BytesIO(held))

    def _once(self, name: str, session: str, ask: Callable[[], bytes]) -> bytes:
        """The answer of `ask`; cards of one page that ask the same at the same time share one query."""
        mine: Future[bytes] = Future()
        with self._lock:
            first = self._asked.setdefault((session, name), mine)
        if first is not mine:
            return first.result()
        try:
            held = ask()
            self._results.put(name, held)
            mine.set_result(held)
        except ObserveError as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                self._asked.pop((session, name), None)
            mine.cancel()  # whoever waits must not wait for ever, whatever happened
        return held

    def fetch(self, path: str, session: str, timeout_s: float | None = None) -> bytes:
        """What the core answers to a plain GET of one of its files; one that takes long has its own patience.

        Raises:
            AccessError: the session is unknown, has ended, or may not read it.
            Overloaded: the core makes another one just now.
            SourceError: there is no such file, or the core does not answer.
        """
        headers = {"Authorization": f"Bearer {session}"} if session else {}
        try:
            answer = self._send("GET", path, headers, timeout_s=timeout_s)
        except httpx.HTTPError as error:
            raise SourceError(f"the core at {self._http.base_url} does not answer ({type(error).__name__})") from error
        if answer.status_code in (401, 403):
            raise AccessError(_reason(answer), answer.status_code)
        if answer.status_code == 429:
            again = answer.headers.get("Retry-After", "")
            raise Overloaded(_reason(answer), int(again) if again.isdecimal() else 10)
        if answer.status_code != 200:
            raise SourceError(_reason(answer))
        return answer.content

    def command(self, said: Mapping[str, object], session: str) -> None:
        """What a person does on a page, as a command of the core; what was read before it is read again.

        Raises:
            AccessError: the session is unknown, has ended, or may not do it.
            QueryError: the core says it cannot be meant, and why.
            SourceError: the core does not answer.
        """
        headers = {"Authorization": f"Bearer {session}"} if session else {}
        try:
            answer = self._send("POST", "/api/v1/commands", headers, said)
        except httpx.HTTPError as error:
            raise SourceError(f"the core at {self._http.base_url} does not answer ({type(error).__name__})") from error
        if answer.status_code in (401, 403):
            raise AccessError(_reason(answer), answer.status_code)
        if answer.status_code != 201:
            raise QueryError(_reason(answer))
        self._results = Results(CACHE_BYTES)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def _post(self, path: str, body: Mapping[str, object], session: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {session}"} if session else {}
        try:
            answer = self._send("POST", path, headers, body)
        except httpx.HTTPError as error:
            raise SourceError(
                f"the core at {self._http.base_url} does not answer ({type(error).__name__}); is `observe up` running?"
            ) from error
        if answer.status_code in (401, 403):
            raise AccessError(_reason(answer), answer.status_code)
        if answer.status_code in (400, 422):
            raise QueryError(_reason(answer))
        if answer.status_code != 200:
            raise SourceError(f"the core answered {answer.status_code}: {_reason(answer)}")
        return answer

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Mapping[str, object] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        """One request; tried again when the core's certificate was renewed in between."""
        wait = httpx.Timeout(timeout_s) if timeout_s else self._http.timeout
        while True:
            more = self._own.extensions if self._own else {}
            try:
                return self._http.request(method, path, json=body, headers=headers, timeout=wait, extensions=dict(more))
            except httpx.ConnectError:  # nothing was sent yet
                if self._own is None or not self._own.refresh():
                    raise


class SessionReader:
    """What a page gets: the core's data as one person may see it."""

    def __init__(self, core: CoreClient, session: str) -> None:
        self._core, self._session = core, session

    def __call__(self, sql: str, params: Mapping[str, Value] | None = None) -> pl.DataFrame:
        """The answer to `sql`; parameters the text does not name are left out."""
        return self._core.read(sql, used(sql, params), self._session)


def _reason(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:300] or answer.reason_phrase
    return str(body.get("error", body))[:600] if isinstance(body, dict) else str(body)[:600]
