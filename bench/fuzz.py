"""Broken, hostile and absurd bodies, against every collector and every route: only counted rejections come out.

    python -m bench.fuzz --cases 200000 --seed 1

A case is a valid payload of a collector, changed: bytes flipped, cut, repeated or exchanged with another
payload, hostile values and keys put into its JSON, compressed or announced as something else. Two of three
cases go to a collector's `parse`, which may only raise `PayloadError`, must account for every item, and
must give frames of the table's types; the others go through HTTP into a real store, where nothing may
answer 5xx but 503, and in the end accepted = stored + rejected + queued, and stored = rows in the tables.

Source: our own; TRUST section 4. The same seed gives the same cases.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import json
import random
import sys
import tempfile
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from bench.fuzz_seeds import Seed, seeds
from observe.app.core import Core
from observe.errors import PayloadError
from observe.registry import plugin
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame_schema
from observe.server.routes import api_routes
from observe.server.routing import application
from observe.spec import load

AT: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
AT_ONCE: Final = 32  # requests in flight: a commit then serves many
SHOWN: Final = 10  # failures that are printed
ALLOWED: Final = frozenset({200, 400, 401, 403, 404, 405, 409, 413, 415, 429, 503})
WORDS: Final = (
    b"null", b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"-1", b"9223372036854775808", b"1" + b"0" * 30, b'"\\u0000"', b'"\\ud800"', b"__proto__",
    b"[" * 300, b'{"a":' * 300, b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"\\", b"\n", b"\r\n", b",", b"}", b"]", b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff", b"\x80" * 10, b"constructor",
)  # fmt: skip
VALUES: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 2**53 + 1, 2**63, 10**400, -(2**70), 0.1, 1e308, float("nan"), float("inf"), "", "0", "NaN", "\0", "\ud800", "x" * 9000, "__proto__", "None", "2026-02-30T25:61:00Z",
    "0000-00-00", "9999-12-31T23:59:59.999999Z", "-1", "1e400", "١٢٣", [], {}, [[[[]]]], {"__proto__": {"a": 1}}, [None] * 50, {str(i): i for i in range(700)}, "'; DROP TABLE attempt; --",
    "<script>alert(1)</script>", "𝕏" * 300, {"": ""}, {"k" * 300: 1},
)  # fmt: skip
KEYS: Final = ("", "__proto__", "constructor", "\0", "ts", "id", "k" * 300, "features", "source", "ingested_at", "seq", "A", "a", "ſ", "\ud800", "model_id", "extra", "quality")  # fmt: skip


@dataclass(slots=True)
class Told:
    """What became of all cases."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def failed(self, what: str, seed: Seed, payload: bytes) -> None:
        """Keep a failure, the first of its kind with what is needed to see it again."""
        last = what.strip().splitlines()[-1][:160]
        kind = f"{seed.collector}: {last}"
        self.failures[kind] += 1
        shown = base64.b64encode(payload[:2000]).decode()
        self.examples.setdefault(kind, f"{dict(seed.labels)} {what}\n    payload ({len(payload)} bytes): {shown}")


def mutated(rng: random.Random, payload: bytes, others: list[Seed]) -> bytes:
    """A payload changed one to four times."""
    for _ in range(rng.randint(1, 4)):
        kind = rng.random()
        if kind < 0.5 and payload[:1] in b"{[":
            payload = _json_changed(rng, payload)
        elif kind < 0.9:
            payload = _bytes_changed(rng, payload)
        else:
            other = rng.choice(others).payload
            at, cut = rng.randint(0, len(payload)), rng.randint(0, len(other))
            payload = payload[:at] + other[cut:]
    return payload


def _bytes_changed(rng: random.Random, payload: bytes) -> bytes:
    a = rng.randint(0, len(payload))
    b = min(len(payload), a + rng.choice((0, 1, 2, 8, 64)))
    word = rng.choice((rng.choice(WORDS), rng.randbytes(rng.randint(1, 8)), payload[a:b] * rng.randint(1, 20)))
    return payload[:a] + word + payload[b:]


def _json_changed(rng: random.Random, payload: bytes) -> bytes:
    """One value or key of a JSON text exchanged; of lines, in one line."""
    lines = payload.split(b"\n")
    at = rng.randrange(len(lines))
    try:
        document = json.loads(lines[at])
    except (ValueError, RecursionError):
        try:
            document, lines, at = json.loads(payload), [b""], 0
        except (ValueError, RecursionError):
            return payload
    try:
        lines[at] = json.dumps(_changed(rng, document, 0)).encode()
    except RecursionError:
        return payload
    return b"\n".join(lines)


def _changed(rng: random.Random, node: Any, depth: int) -> Any:
    if not isinstance(node, (dict, list)) or not node or depth > 12 or rng.random() < 0.1:
        return rng.choice(VALUES)
    if isinstance(node, list):
        node = list(node)
        at = rng.randrange(len(node))
        node[at] = _changed(rng, node[at], depth + 1)
        return node * rng.choice((1, 1, 1, 3))
    node = dict(node)
    key = rng.choice(list(node))
    what = rng.random()
    if what < 0.1:
        del node[key]
    elif what < 0.25:
        node[rng.choice(KEYS)] = node.pop(key)
    elif what < 0.4:
        node[rng.choice(KEYS)] = rng.choice(VALUES)
    else:
        node[key] = _changed(rng, node[key], depth + 1)
    return node


def parse_once(seed: Seed, payload: bytes, told: Told) -> None:
    """One case against a collector."""
    try:
        parsed = plugin("observe.collectors", seed.collector).parse(payload, AT, {"source": "fuzz", **seed.labels})
    except PayloadError as error:
        told.outcomes[f"parse {type(error).__name__}"] += 1
        return
    except Exception:  # noqa: BLE001 - whatever else comes out is what we are looking for
        told.failed(traceback.format_exc(limit=-3), seed, payload)
        return
    told.outcomes["parse rows" if parsed.items else "parse nothing"] += 1
    for wrong in wrongs(parsed):
        told.failed(wrong, seed, payload)


def wrongs(parsed: Parsed) -> Iterator[str]:
    """What a collector's answer breaks of its promise."""
    if parsed.offered != parsed.items + sum(parsed.rejected.values()):
        yield f"offered {parsed.offered} != {parsed.items} kept + {dict(parsed.rejected)}"
    if any(n <= 0 for n in (*parsed.rejected.values(), *parsed.notes.values())):
        yield f"counts of nothing: {dict(parsed.rejected)} {dict(parsed.notes)}"
    if any(len(text) > 400 for text in parsed.examples.values()):
        yield "an example of more than 400 characters"
    for name, frame in parsed.tables.items():
        schema = frame_schema(TABLES[name.partition(":")[0]])
        odd = {c: t for c, t in frame.schema.items() if c in schema and t != schema[c]}
        if odd or (":" not in name and set(frame.columns) - set(schema)):
            yield f"{name}: columns {odd or set(frame.columns) - set(schema)}"
        longest = [c for c, t in frame.schema.items() if str(t) == "String" and c != "body" and (frame[c].str.len_chars().max() or 0) > 8192]  # fmt: skip
        if longest:
            yield f"{name}: text of more than 8192 characters in {longest}"


def wired(rng: random.Random, payload: bytes, kind: str) -> tuple[bytes, dict[str, str]]:
    """A body as it goes over the wire: sometimes compressed, sometimes not what it says."""
    headers = {"Content-Type": kind if rng.random() < 0.9 else rng.choice(("", "text/csv", "application/json", "application/x-protobuf", "x/y; z"))}  # fmt: skip
    how = rng.random()
    if how < 0.15:
        return gzip.compress(payload, 1, mtime=0), {**headers, "Content-Encoding": "gzip"}
    if how < 0.2:
        return zlib.compress(payload), {**headers, "Content-Encoding": "deflate"}
    if how < 0.25:
        return payload, {**headers, "Content-Encoding": rng.choice(("gzip", "br", "identity", "deflate"))}
    return payload, headers


async def send_all(core: Core, cases: Iterator[tuple[Seed, bytes, dict[str, str]]], told: Told) -> None:
    """All cases through the routes, a few at a time."""
    transport = httpx.ASGITransport(application(core, api_routes()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", timeout=60) as client:
        places = asyncio.Semaphore(AT_ONCE)

        async def send(seed: Seed, body: bytes, headers: Mapping[str, str]) -> None:
            try:
                answer = await client.post(seed.path, content=body, headers=dict(headers))
                told.outcomes[f"HTTP {answer.status_code}"] += 1
                if answer.status_code not in ALLOWED:
                    told.failed(f"POST {seed.path} {dict(headers)}: {answer.status_code} {answer.text[:300]}", seed, body)  # fmt: skip
            except Exception:  # noqa: BLE001
                told.failed(f"POST {seed.path}\n" + traceback.format_exc(limit=-6), seed, body)
            finally:
                places.release()

        async with asyncio.TaskGroup() as group:
            for case in cases:
                await places.acquire()
                group.create_task(send(*case))


def accounts(core: Core) -> dict[str, float]:
    """Items by what became of them."""
    found: Counter[str] = Counter()
    for metric in core.telemetry.registry.collect():
        for sample in metric.samples:
            if sample.name in ("observe_accepted_total", "observe_stored_total", "observe_rejected_total", "observe_queued"):  # fmt: skip
                found[sample.name.removeprefix("observe_").removesuffix("_total")] += sample.value
    return dict(found)


def check_accounts(core: Core, told: Told) -> None:
    """In the end nothing may be missing."""
    found = accounts(core)
    if found["accepted"] != found["stored"] + found["rejected"] + found["queued"]:
        told.failures[f"the account does not add up: {found}"] += 1
    with core.store._database.cursor() as cursor:
        [(ledger,)] = cursor.execute("SELECT coalesce(sum(rows), 0)::BIGINT FROM core.batch").fetchall()
    if ledger != found["stored"]:
        told.failures[f"stored {found['stored']}, the ledger says {ledger}"] += 1
    told.outcomes["rows stored"] = int(found["stored"])


def run(cases: int, number: int) -> Told:
    """All cases of a seed."""
    rng, told, given = random.Random(number), Told(), seeds(AT)
    fresh = seeds(datetime.now(UTC) - timedelta(seconds=30))
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "observe.yaml"
        site.write_text("apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\nserver: {auth: none}\n")
        core = Core(load(site), face=False)

        def http() -> Iterator[tuple[Seed, bytes, dict[str, str]]]:
            for n in range(cases):
                told.cases += 1
                if n % 3:
                    seed = rng.choice(given)
                    parse_once(seed, mutated(rng, seed.payload, given), told)
                else:
                    seed = rng.choice(fresh)
                    kind = seed.labels.get("content_type", "application/json")
                    body, headers = wired(rng, mutated(rng, seed.payload, fresh), kind)
                    named = {k: v for k, v in seed.labels.items() if k.startswith("ce-")}
                    yield seed, body, {**headers, **named}
                if n % 20_000 == 0:
                    print(f"{n} cases, {told.failures.total()} failures", file=sys.stderr, flush=True)

        try:
            asyncio.run(send_all(core, http(), told))
            core.intake.pairing.sweep()
            check_accounts(core, told)
        finally:
            core.stop()
    return told


def main() -> int:
    """0 when nothing failed."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    asked.add_argument("--cases", type=int, default=20_000)
    asked.add_argument("--seed", type=int, default=1)
    said = asked.parse_args()
    told = run(said.cases, said.seed)
    print(f"{told.cases} cases, {told.failures.total()} failures")
    print(", ".join(f"{n} {what}" for what, n in sorted(told.outcomes.items())))
    for kind, n in told.failures.most_common(SHOWN):
        print(f"{n} x {kind}\n{told.examples.get(kind, '')}")
    return 1 if told.failures else 0


if __name__ == "__main__":
    sys.exit(main())
