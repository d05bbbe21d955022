"""`observe backtest` of what is stored: a stopped data directory, or a running one through its service.

Source: our own; TRUST section 1.5: either way the questions run in the sandboxed worker over Parquet.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from observe.cli.directory import exported, present
from observe.cli.service import owner
from observe.errors import ObserveError, QueryError, SourceError, StoreLocked, UsageError

if TYPE_CHECKING:
    import httpx
    import polars as pl

    from observe.app.backtest import Backtest
    from observe.app.backtest_inject import Planted
    from observe.app.backtest_plan import Options
    from observe.app.backtest_rules import Rule
    from observe.app.backtest_store import Stored
    from observe.cli.backtest_asked import Asked
    from observe.spec import Config

    Answer = tuple[Backtest, list[Planted], list[Rule]]

_READ: Final = "select * from summary join binning using (binning_id)"  # names what a backtest may read
_PATIENCE_S: Final = 60.0
_TRIES: Final = 60  # of one question, while the service has no room
_SITE: Final = Path("observe.yaml")


def run(
    model: str | None, asked: Asked, site: Path | None, directory: Path | None, *, as_json: bool, quiet: bool
) -> int:
    """Backtest one model, or all; print what was found."""
    from observe.app import backtest_store as past
    from observe.cli.backtest_asked import options
    from observe.cli.backtest_shown import show

    _refuse(asked)
    config = _config(model, site, directory)
    where = directory or (config.site.store.path if config else None)
    assert where is not None
    given = options(asked)
    answers: dict[str, Answer] = {}
    with asking(present(where)) as ask:
        found = past.models(ask, config, model)
        for stored in found:
            answers[stored.model] = _one(ask, stored, given, asked, config, quiet=quiet)
    if as_json:
        from observe.app import backtest_told as told

        plain = {name: {"model": name, **told.as_json(*answer)} for name, answer in answers.items()}
        sys.stdout.write(json.dumps(past.merged(plain), ensure_ascii=False) + "\n")
        return 0
    for name, answer in answers.items():
        sys.stdout.write(f"{name}\n" if len(answers) > 1 else "")
        show(*answer, as_json=False, quiet=quiet)
    return 0


def _one(
    ask: Callable[[str], pl.DataFrame],
    stored: Stored,
    given: Options,
    asked: Asked,
    config: Config | None,
    *,
    quiet: bool,
) -> Answer:
    from observe.app.backtest_change import parse
    from observe.app.backtest_store import backtest
    from observe.cli.backtest_shown import beside, progress

    kinds = {b.feature: b.kind for b in stored.binnings.values()}
    changes = [parse(text, kinds) for text in asked.inject]
    with progress(quiet=quiet, parts=1 + len(changes)) as moved:
        result, past = backtest(ask, stored, given, _since(asked), config, moved)
        return result, *beside(result, past, changes, moved, rules=asked.rules)


def _since(asked: Asked) -> float | None:
    from observe.spec.quantity import Malformed, parse_duration

    try:
        return parse_duration(asked.since) if asked.since is not None else None
    except Malformed as error:
        raise UsageError(f"--since: {error}; {error.hint}") from error


def _refuse(asked: Asked) -> None:
    for option, value in (
        ("--time", asked.time),
        ("--features", asked.features),
        ("--window", asked.window),
        ("--as", asked.rows_or_series),
    ):
        if value is not None:
            raise UsageError(f"{option} is for tables: what is stored is watched as its configuration says")


def _config(model: str | None, site: Path | None, directory: Path | None) -> Config | None:
    """What is watched; None with nothing but a directory: then every feature is, by the defaults."""
    from observe.spec import load

    if site is None and directory is not None:
        return None
    if site is None and not _SITE.exists():
        named = f"there is no file {model!r} and " if model is not None else ""
        raise UsageError(
            f"{named}no {_SITE} here; name a table with --time, a site with -c or a data directory with -d"
        )
    return load(site or _SITE)


@contextmanager
def asking(directory: Path) -> Iterator[Callable[[str], pl.DataFrame]]:
    """How the data of a directory is asked, stopped or running."""
    with ExitStack() as held:
        try:
            snapshot, roots = held.enter_context(exported(directory, _READ))
        except StoreLocked:
            service = owner(directory)
            client = held.enter_context(service.client())
            yield lambda sql: _answered(client, service.url, sql)
            return
        query = held.enter_context(_worker(roots))
        yield lambda sql: query(sql, snapshot.views)


def _answered(client: httpx.Client, url: str, sql: str) -> pl.DataFrame:
    """The whole answer of a running service, asked again while it has no room.

    Raises:
        QueryError: it refuses the question, or cut the answer.
        SourceError: it does not answer.
    """
    import httpx
    import polars as pl

    for _ in range(_TRIES):
        try:
            answer = client.post("/api/v1/sql", json={"sql": sql, "fresh": False})
        except httpx.HTTPError as error:
            raise SourceError(f"the service at {url} did not answer, nothing was judged: {error}") from error
        if answer.status_code not in (429, 503):
            break
        time.sleep(float(answer.headers.get("retry-after") or 1))
    if answer.status_code != 200:
        raise _refused(answer, url)
    frame = pl.read_ipc_stream(io.BytesIO(answer.content))
    return _whole(frame, answer.headers.get("x-observe-truncated") == "true")


def _refused(answer: httpx.Response, url: str) -> ObserveError:
    told = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    said = (
        f"the service at {url} refuses to be read (HTTP {answer.status_code}): {told.get('error', answer.text[:200])}"
    )
    if answer.status_code in (401, 403):
        return QueryError(f"{said}; a backtest asks SQL: set OBSERVE_TOKEN to a token that may")
    return (QueryError if answer.status_code == 400 else SourceError)(said)


def _whole(frame: pl.DataFrame, cut: bool) -> pl.DataFrame:
    if cut:
        raise QueryError("an answer that must be whole was cut; backtest one model or fewer days (--since) at a time")
    return frame


@contextmanager
def _worker(roots: Sequence[Path]) -> Iterator[Callable[[str, Any], pl.DataFrame]]:
    import polars as pl

    from observe.sqlworker import Limits, SqlWorker

    worker = SqlWorker(roots, allow_unsandboxed=True)
    worker.start()
    limits = Limits(seconds=_PATIENCE_S, rows=1_000_000, answer_bytes=256 * 2**20, memory_bytes=2**30)

    def query(sql: str, views: Any) -> pl.DataFrame:
        answer = worker.query(sql, views, limits)
        return _whole(pl.read_ipc_stream(io.BytesIO(answer.arrow_ipc)), answer.truncated)

    try:
        yield query
    finally:
        worker.stop()
