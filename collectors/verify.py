"""Recorded pages and bodies go through the collectors, and nothing may vanish on the way.

    python -m collectors.verify DIR

Every file of a known format below DIR is counted by the simplest means there is (lines, list
lengths) and parsed; the collector must have offered as many items, each kept or rejected for a
reason. Files of other kinds are named and passed over.

Source: our own.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from observe.clock import WallClock
from observe.errors import ObserveError, PayloadError
from observe.schema import Parsed

MAX_FILE: Final = 64 * 2**20  # bytes
_TOLD: Final = {
    "accept_past_s": "inf", "accept_future_s": "inf", "target": "http://recorded/metrics", "source": "recorded",
    "cluster": "recorded", "model": "recorded",
}  # fmt: skip
_OTLP_LISTS: Final = ("spans", "dataPoints", "logRecords")
_SIGNALS: Final[Mapping[str, str]] = {"resourceSpans": "traces", "resourceMetrics": "metrics", "resourceLogs": "logs"}
_MESSAGES: Final[Mapping[str, tuple[str, str]]] = {
    "traces": ("trace.v1.trace_service_pb2", "ExportTraceServiceRequest"),
    "metrics": ("metrics.v1.metrics_service_pb2", "ExportMetricsServiceRequest"),
    "logs": ("logs.v1.logs_service_pb2", "ExportLogsServiceRequest"),
}
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of one file: `counted` by us, `offered`, `kept` and `rejected` by the collector."""

    file: str
    format: str
    counted: int
    offered: int = 0
    kept: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    error: str = ""

    @property
    def whole(self) -> bool:
        """Whether every item was kept or counted with a reason."""
        return not self.error and self.counted == self.offered == self.kept + sum(self.rejected.values())

    def __str__(self) -> str:
        """One line: the verdict first."""
        if self.error:
            return f"FAIL {self.file}: {self.format}: {self.error}"
        words = f"{self.file}: {self.format}: {self.counted} items = {self.kept} kept"
        words += "".join(f" + {n} {reason}" for reason, n in sorted(self.rejected.items()))
        if self.rows:
            words += " -> " + ", ".join(f"{n} {table}" for table, n in sorted(self.rows.items()))
        if self.notes:
            words += " (" + ", ".join(f"{n} {note}" for note, n in sorted(self.notes.items())) + ")"
        if self.whole:
            return f"ok   {words}"
        return f"FAIL {words}; {self.counted} in the file, {self.offered} offered"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a folder."""

    files: tuple[Verified, ...]
    passed_over: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether there was something to read and nothing of it vanished."""
        return bool(self.files) and all(f.whole for f in self.files)

    def __str__(self) -> str:
        """All files, then the sums."""
        lines = [str(f) for f in self.files]
        lines += [f"     {name}: no page or body, passed over" for name in self.passed_over]
        failed = [f.file for f in self.files if not f.whole]
        total = f"{len(self.files)} files, {sum(f.counted for f in self.files)} items"
        lines.append(
            f"{total}: items vanished in {', '.join(failed)}"
            if failed
            else f"{total}: every one kept or counted with a reason"
        )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Format:
    """One kind of file: how it is counted and which collector reads it."""

    name: str
    collector: str
    count: Callable[[bytes], int]
    labels: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[bytes], bytes] = bytes


def verify(folder: Path, at: datetime) -> Report:
    """Parse every recorded page and body below `folder`.

    Args:
        folder: read only; links are followed by nobody.
        at: instant to parse at, aware UTC; recorded times of any age are taken.

    Returns:
        One entry a file, in order of paths.
    """
    files: list[Verified] = []
    passed_over: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
        name = str(path.relative_to(folder))
        payload = path.read_bytes() if path.stat().st_size <= MAX_FILE else b""
        form = _format(path.name.lower(), payload)
        if form is None:
            passed_over.append(name)
        else:
            files.append(_verified(name, form, payload, at))
    return Report(tuple(files), tuple(passed_over))


def _verified(name: str, form: _Format, payload: bytes, at: datetime) -> Verified:
    counted = 0
    try:
        body = form.prepare(payload)
        counted = form.count(body)
        parsed = _parsed(form, body, at)
    except (ObserveError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError, ImportError) as error:
        return Verified(name, form.name, counted, error=f"{type(error).__name__}: {error}")
    rows = {table: frame.height for table, frame in parsed.tables.items()}
    return Verified(name, form.name, counted, parsed.offered, parsed.items, parsed.rejected, parsed.notes, rows)


def _parsed(form: _Format, body: bytes, at: datetime) -> Parsed:
    parsed: Parsed = import_module(f"collectors.{form.collector}").parse(body, at, {**_TOLD, **form.labels})
    return parsed


def _format(name: str, payload: bytes) -> _Format | None:
    """The format of a file, by its name and its first object; None when it is none of ours."""
    if name.endswith((".prom", ".openmetrics")):
        return _Format("exposition", "exposition", _sample_lines)
    if name.endswith("families.txt"):
        return _Format("metric families", "exposition", _sample_lines, prepare=page_of_families)
    if name.endswith(".pb"):
        signal = next((s for s in _MESSAGES if s in name), "")
        return _otlp(signal, _PROTOBUF, lambda body: _leaves(_decoded(body, signal))) if signal else None
    if name.endswith((".ndjson", ".jsonl", ".json", ".protojson")):
        return _json_format(payload)
    return None


def _json_format(payload: bytes) -> _Format | None:
    first = next(_objects(payload), None)
    if not isinstance(first, dict):
        return None
    for key, signal in _SIGNALS.items():
        if key in first:
            return _otlp(signal, _JSON, lambda body: _leaves(json.loads(body)))
    enveloped = "specversion" in first or any(k.lower() == "ce-type" for k in first.get("headers", {}))
    change = "involvedObject" in first or ("kind" in first and "event_id" in first)
    known = (
        ("litellm_call_id" in first, _Format("litellm", "litellm", _object_count)),
        (enveloped, _Format("cloud event", "cloudevents", _object_count)),
        ("captureData" in first, _Format("prediction log", "predictions", _object_count)),
        (change, _Format("change event", "events", _object_count, {"content_type": _JSON})),
    )
    return next((form for fits, form in known if fits), None)


def _otlp(signal: str, content_type: str, count: Callable[[bytes], int]) -> _Format:
    return _Format(f"otlp {signal}", "otlp", count, {"content_type": content_type, "signal": signal})


def _sample_lines(payload: bytes) -> int:
    return sum(1 for line in payload.split(b"\n") if line.strip() and not line.strip().startswith(b"#"))


def _objects(payload: bytes) -> Iterator[Any]:
    """Items of a JSON body: the elements of a list, one object, or one object a line."""
    try:
        whole = json.loads(payload)
    except ValueError:
        for line in payload.split(b"\n"):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError:
                    yield None
    else:
        yield from whole if isinstance(whole, list) else [whole]


def _object_count(payload: bytes) -> int:
    return sum(1 for _ in _objects(payload))


def _leaves(node: Any) -> int:
    """Spans, data points or log records of an OTLP request as JSON."""
    if isinstance(node, list):
        return sum(_leaves(child) for child in node)
    if not isinstance(node, dict):
        return 0
    return sum(len(child) if key in _OTLP_LISTS else _leaves(child) for key, child in node.items())


def _decoded(payload: bytes, signal: str) -> Any:
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError

    module, message = _MESSAGES[signal]
    request = getattr(import_module(f"opentelemetry.proto.collector.{module}"), message)()
    try:
        request.ParseFromString(payload)
    except DecodeError as error:
        raise PayloadError(f"no OTLP {signal} request: {error}") from None
    return MessageToDict(request)


def page_of_families(payload: bytes) -> bytes:
    """A page with one series of each family of a list `name type`, as the text format writes its type."""
    lines = []
    series = 'model_name="recorded",engine="0"'
    for line in payload.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) != 2 or line.startswith("#"):
            continue
        name, kind = words
        lines.append(f"# TYPE {name} {kind}")
        if kind == "histogram":
            lines += [
                f'{name}_bucket{{{series},le="+Inf"}} 1',
                f"{name}_sum{{{series}}} 1",
                f"{name}_count{{{series}}} 1",
            ]
        else:
            extra = ',finished_reason="stop"' if "success" in name else ""
            lines.append(f"{name}{{{series}{extra}}} 1")
    return ("\n".join(lines) + "\n").encode()


def main(arguments: Sequence[str]) -> int:
    """Verify the folder named on the command line; 0 when nothing vanished, 1 when something did, 2 on misuse."""
    folder = Path(arguments[0]) if len(arguments) == 1 else None
    if folder is None or not folder.is_dir():
        print("verify: expected one folder of recorded pages and bodies", file=sys.stderr)
        return 2
    report = verify(folder, WallClock().now())
    print(report)
    formats = Counter(f.format for f in report.files)
    print(", ".join(f"{n} {name}" for name, n in sorted(formats.items())) or "nothing of a known format was found")
    return 0 if report.whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
