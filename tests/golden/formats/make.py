"""Make the data directory of one release, with every table filled: see README.md beside this.

`make.py NAME`, run with the release's code, writes NAME.tar.gz here: `data/`, left by a process that
was killed (so with a write-ahead log), and `rows.json`, what each table held.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from observe.chain import chained
from observe.clock import EventClock
from observe.schema import TABLES, Batch, Command, Table
from observe.store import Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HERE = Path(__file__).parent
JSON = {"parameters", "labels", "annotations", "details", "tags", "attributes", "rejected", "cause"}
MODELS = {"fraud": {"amount": 12.5, "country": "NL", "known": True}, "Chat/7b": {"z": 1.0, "Z": "upper"}}


def value(sql: str, name: str, i: int) -> Any:
    """Something of the column's type that tells rows apart."""
    lists = {"VARCHAR[]": [name, str(i)], "BIGINT[]": [i, i + 1], "DOUBLE[]": [i / 2, i + 0.25]}
    plain = {"DOUBLE": i + 0.5, "BIGINT": i, "BOOLEAN": i % 2 == 0, "TIMESTAMPTZ": NOON - timedelta(minutes=i)}
    return {**lists, **plain}.get(sql, "{}" if name in JSON else f"{name}-{i}")


def rows(table: Table, ago: timedelta, n: int = 3) -> pl.DataFrame:
    """`n` rows of `table`, a second apart, the last of them without what may be NULL."""
    made = []
    for i in range(1, n + 1):
        row = {c.name: value(c.sql, c.name, i) for c in table.columns if not (i == n and c.nullable)}
        name = f"{table.name}-{int(ago.total_seconds())}-{i}"
        made.append(
            row
            | {key: name for key in table.ids if key != table.time}
            | {table.time: NOON - ago + timedelta(seconds=i)}
        )
    return pl.DataFrame(made, infer_schema_length=None).drop("ingested_at", strict=False)


def fill(store: Store) -> None:
    """Rows of two days ago and of today in the lake, newer ones hot."""
    bulk = [t for t in TABLES.values() if t.bulk and t.name != "prediction"]
    for ago in (timedelta(days=2), timedelta(hours=3), timedelta(hours=2, minutes=50), timedelta(minutes=2)):
        tables = {t.name: rows(t, ago) for t in bulk}
        for model, features in MODELS.items():
            frame = rows(TABLES["prediction"], ago).with_columns(**{k: pl.lit(v) for k, v in features.items()})
            tables[f"prediction:{model}"] = frame
        store.append(Batch("gateway", f"batch {ago}", tables, {"parse": 1}))
        store.seal(NOON - ago + timedelta(hours=1) if ago > timedelta(hours=1) else NOON)


def fill_native(store: Store) -> None:
    """What our own stages write."""
    native = [t for t in TABLES.values() if not t.bulk and t.name != "command"]
    for table in native:
        store.append(Batch("own", table.name, {table.name: rows(table, timedelta(minutes=5))}))
    with store.change() as change:
        change.insert(commands())
        change.set_states({"fraud/level/amount": {"n": 3}}, NOON - timedelta(minutes=5))
        change.set_setting("models", {"fraud": {"kind": "predictive"}})


def commands() -> list[Command]:
    """Three links of the audit chain."""
    done: list[Command] = []
    for i in range(3):
        said = {f.name: f"{f.name}-{i}" for f in fields(Command)} | {
            "ts": NOON + timedelta(seconds=i),
            "parameters": {"i": i},
        }
        done.append(chained({k: v for k, v in said.items() if k != "chain"}, done[-1].chain if done else ""))
    return done


def told(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, as JSON says it."""
    names = [("core", t.name) for t in TABLES.values() if not t.bulk] + [("core", n) for n in ("state", "setting")]
    names += [("main", t.name) for t in TABLES.values() if t.bulk and t.name != "prediction"]
    names += [("predictions", n) for n in store.read("SELECT name FROM core.model_table ORDER BY 1")["name"]]
    found = {}
    for schema, name in names:
        answer = store.read(f'SELECT * FROM {schema}."{name}"')
        found[f"{schema}.{name}"] = sorted(json.loads(json.dumps(answer.to_dicts(), default=str)), key=str)
    return found


def main(folder: Path) -> None:
    """Fill `folder`, then die as a killed process does."""
    store = Store.open(folder / "data", EventClock(NOON))
    fill(store)
    store.close()  # so that the first half is in the file, the second in its log
    store = Store.open(folder / "data", EventClock(NOON))
    fill_native(store)
    (folder / "rows.json").write_text(json.dumps(told(store), indent=0, sort_keys=True))
    os._exit(0)


def pack(name: str) -> None:
    """Run `main` in a process of its own and pack what it left."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "--in", folder], check=True)
        with tarfile.open(HERE / f"{name}.tar.gz", "w:gz") as tar:
            for part in ("rows.json", "data"):
                tar.add(Path(folder, part), part, filter=anonymous)


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Nobody's file, of no time; the lock is not part of the format."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return None if entry.name == "data/LOCK" else entry


if __name__ == "__main__":
    main(Path(sys.argv[2])) if sys.argv[1] == "--in" else pack(sys.argv[1])
