"""A child's whole life: take one request, confine itself, answer, end.

Source: TRUST section 1.5; DuckDB "Securing DuckDB".
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pytz  # type: ignore[import-untyped]

from observe.sqlworker import landlock, wire
from observe.sqlworker.landlock import threads

_READS: Final = frozenset({"SELECT", "EXPLAIN"})
_LISTS_VIEWS: Final = (
    "show",
    "describe",
    "summarize",
    "information_schema",
    "duckdb_",
    "pg_catalog",
    "sqlite_master",
    "query(",
    "query_table",
)
_PART: Final = re.compile(r'"(?:[^"]|"")*"|[^."]+')
_BATCH_ROWS: Final = 8_192
_SLACK_BYTES: Final = 256 * 2**20  # of the process beyond DuckDB's own limit: Arrow, allocator, stacks
_MACHINE: Final = (
    Path("/proc/self/cgroup"),
    Path("/sys/fs/cgroup"),
)  # DuckDB 2.0.0 aborts when it cannot read its CPU limits
_UTC: Final = pytz.utc  # imported while files can still be read; DuckDB asks for it


class Refused(Exception):
    """The query is not answered; the message is for the person."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the core asks for."""

    sql: str
    views: Mapping[str, str]
    roots: Sequence[str]
    sandbox: bool
    seconds: float
    rows: int
    answer_bytes: int
    memory_bytes: int
    threads: int


def answer(connection: socket.socket) -> None:
    """Read the request from `connection`, write the answer or the reason why not."""
    header, _ = wire.receive(connection, 0)
    request = Request(**{k: v for k, v in header.items() if k != "payload"})
    try:
        _confine(request)
        payload, rows, truncated = _run(request)
    except Refused as error:
        wire.send(connection, {"ok": False, "error": str(error)}, b"")
    except duckdb.Error as error:
        wire.send(connection, {"ok": False, "error": str(error)}, b"")
    except MemoryError:
        told = f"needed more memory than the {request.memory_bytes // 2**20} MiB a query gets"
        wire.send(connection, {"ok": False, "error": told}, b"")
    else:
        wire.send(connection, {"ok": True, "rows": rows, "truncated": truncated}, payload)


def _confine(request: Request) -> None:
    """Limits first, then Landlock, while there is one thread and no database."""
    if threads() != 1:
        raise Refused("the SQL worker is not single-threaded; this is a fault of ours, please report it")
    signal.setitimer(signal.ITIMER_REAL, request.seconds + 0.5)  # ends us even if nobody is left to kill us
    cpu_s = int(request.seconds * request.threads) + 2
    hard = _data_bytes() + request.memory_bytes * 3 // 2 + _SLACK_BYTES
    for kind, most in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_DATA, hard),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    os.nice(10)
    if request.sandbox:
        landlock.confine([*map(Path, request.roots), *_MACHINE])


def _data_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[5]) * resource.getpagesize()


def _run(request: Request) -> tuple[memoryview, int, bool]:
    connection = _connect(request)
    _one_select(connection, request.sql)
    _create_views(connection, request)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    reader = connection.sql(request.sql).to_arrow_reader(_BATCH_ROWS)
    return _collect(reader, request)


def _connect(request: Request) -> Any:
    config: dict[str, Any] = {
        "threads": str(request.threads), "async_threads": "1", "memory_limit": f"{request.memory_bytes // 2**20}MiB",
        "temp_directory": "", "autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
        "allow_community_extensions": "false", "python_enable_replacements": "false",
        "preserve_insertion_order": "true",
    }  # fmt: skip
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone = 'UTC'")
    folders = ", ".join(_text(r) for root in request.roots for r in dict.fromkeys((root, os.path.realpath(root))))
    connection.execute(f"SET allowed_directories = [{folders}]")
    return connection


def _one_select(connection: Any, sql: str) -> None:
    """The friendly first layer; what holds is the sandbox."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise Refused(f"one statement at a time, this is {len(statements)}")
    kind = str(statements[0].type).rpartition(".")[2]
    if kind not in _READS:
        raise Refused(
            f"{kind} is not answered here: data can be read (SELECT, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN), not changed"
        )


def _create_views(connection: Any, request: Request) -> None:
    """The views a query may need: those its text names, and those they are made of; all when it lists them."""
    for name in needed(request.sql, request.views):
        *schema, view = _parts(name)
        if schema:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_identifier(schema[0])}")
        qualified = ".".join(_identifier(part) for part in (*schema, view))
        connection.execute(f"CREATE VIEW {qualified} AS {request.views[name]}")


def needed(sql: str, views: Mapping[str, str]) -> tuple[str, ...]:
    """Names of `views`, in their order, that the text of `sql` may refer to, directly or through another view."""
    text = sql.casefold()
    if any(word in text for word in _LISTS_VIEWS):
        return tuple(views)
    wanted: set[str] = set()
    texts = [text]
    while texts:
        text = texts.pop()
        found = {name for name in views if name not in wanted and _bare(name) in text}
        wanted |= found
        texts += [views[name].casefold() for name in found]
    return tuple(name for name in views if name in wanted)


def _bare(name: str) -> str:
    return _parts(name)[-1].casefold().replace('"', '""')


def _parts(name: str) -> tuple[str, ...]:
    """Schema and view of a name as DuckDB writes it, quotes removed.

    >>> _parts('predictions."my.model"')
    ('predictions', 'my.model')
    """
    return tuple(p[1:-1].replace('""', '"') if p.startswith('"') else p for p in _PART.findall(name))


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _collect(reader: Any, request: Request) -> tuple[memoryview, int, bool]:
    """Batches as an Arrow IPC stream, until a cap is met."""
    sink, rows, truncated = pa.BufferOutputStream(), 0, False
    names = _told_apart(reader.schema.names)
    fields = [field.with_name(name) for field, name in zip(reader.schema, names, strict=True)]
    with pa.ipc.new_stream(sink, pa.schema(fields)) as writer:
        for batch in reader:
            kept = batch.rename_columns(names).slice(0, request.rows - rows)
            truncated = kept.num_rows < batch.num_rows or sink.tell() + kept.nbytes > request.answer_bytes
            if sink.tell() + kept.nbytes > request.answer_bytes:
                break
            writer.write_batch(kept)
            rows += kept.num_rows
            if truncated:
                break
    return memoryview(sink.getvalue()), rows, truncated


def _told_apart(names: Sequence[str]) -> list[str]:
    """Names of columns, those said before with a number behind them, as DuckDB does: who reads the answer has one column a name.

    >>> _told_apart(["model", "model", "model_1"])
    ['model', 'model_2', 'model_1']
    """
    told: list[str] = []
    for i, name in enumerate(names):
        taken = {*told, *names[i + 1 :]}
        tries = (f"{name}_{k}" for k in count(1))
        told.append(name if name not in told else next(other for other in tries if other not in taken))
    return told
