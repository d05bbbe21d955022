"""Where one series of one target belongs, worked out once and remembered.

Source: our own; dcgm-exporter's label set (pkg/dcgmexporter), vLLM's `metrics/loggers.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from collectors.mapping import MetricMap, Rule

MAX_SERIES: Final = 200_000  # remembered over all targets, about 1 kB each
_NOT_TOLD: Final = frozenset({"accept_past_s", "accept_future_s", "content_type"})  # how to read, not what it is about
_RESERVED: Final = _NOT_TOLD | {"source", "target", "model"}

Workload = tuple[str | None, str | None, str | None]  # namespace, pod, container
NOBODY: Final[Workload] = (None, None, None)


@dataclass(slots=True, eq=False)
class Subject:
    """What a wide row is about: a GPU, a MIG instance, or an engine of a model server.

    `about` holds the descriptive columns as the newest labels say them.
    """

    table: str
    key: tuple[str, ...]
    about: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A series and its place; exactly one of `subject`, `metric`, `refused` is set.

    `slot` is the cell of the subject's row; `again` the reason counted when the cell is filled already.
    """

    name: str
    slot: str = ""
    factor: float = 1.0
    low: float = 0.0
    high: float = 0.0
    subject: Subject | None = None
    workload: Workload = NOBODY
    again: str = "duplicate_series"
    metric: tuple[str, str, str, str | None] | None = None  # name, labels as JSON, kind, unit
    refused: str = ""


class Target:
    """The memory of one target: what its series are, under the labels the site gives it."""

    def __init__(self, mapping: MetricMap, labels: Mapping[str, str]) -> None:
        self.known: dict[str, Placed] = {}
        self.mapping, self.labels = mapping, labels
        self._subjects: dict[tuple[str, ...], Subject] = {}
        self._workloads: dict[Workload, Workload] = {NOBODY: NOBODY}
        self._common = {k: v for k, v in labels.items() if v and k not in _RESERVED}
        if "target" in labels:
            self._common["instance"] = labels["target"]

    def place(self, name: str, labels: Mapping[str, str], kind: str) -> Placed:
        """Where a series belongs.

        Args:
            name: as exposed.
            labels: of the series.
            kind: what the page says it is; the mapping knows better for some.
        """
        canonical = self.mapping.canonical(name)
        rule = self.mapping.rules.get(canonical)
        if rule is not None and rule.table == "gpu_sample" and self.mapping.other_entities.isdisjoint(labels):
            return self._gpu(rule, labels) if rule.vendor == "nvidia" else self._amd(rule, labels)
        if rule is not None and rule.table == "serving_sample":
            return self._serving(rule, labels)
        why = self.mapping.ignored(canonical)
        if why is not None or not self.mapping.allowed(canonical):
            return Placed(name, refused=why or "unmapped")
        kind = self.mapping.kinds.get(canonical, kind)
        unit = None if kind in ("count", "bucket") else self.mapping.unit(canonical)
        return Placed(name, metric=(name, self._text(name, labels), kind, unit))

    def trim(self, in_page: int) -> None:
        """Forget everything when most of the memory is of series that are gone."""
        if len(self.known) > 2 * in_page + 1000:
            self.known.clear()
            self._subjects.clear()
            self._workloads = {NOBODY: NOBODY}

    def _gpu(self, rule: Rule, labels: Mapping[str, str]) -> Placed:
        label = self.mapping.label
        uuid, instance = label(labels, "uuid"), label(labels, "mig_gi")
        if uuid is None:
            return Placed(rule.metric, refused="no_device")
        moved = rule.device and instance is not None
        board = instance is None or moved
        subject = self._subject("gpu_sample", (uuid,) if board else (uuid, str(instance)))
        about = {role: label(labels, role) for role in ("model", "node", "gpu_index", "pci_bus_id", "driver")}
        about["node"] = about["node"] or self.labels.get("node")
        if not board:
            about |= {"mig_gi": instance, "mig_profile": label(labels, "mig_profile")}
        subject.about.update({k: v for k, v in about.items() if v is not None})
        return self._cell(rule, rule.slot, subject, NOBODY if moved else self._workload(labels), moved)

    def _amd(self, rule: Rule, labels: Mapping[str, str]) -> Placed:
        """An AMD board, or one partition of it, which the driver shows as a device of its own."""
        label = self.mapping.label
        uuid, partition = label(labels, "amd_uuid"), label(labels, "amd_partition")
        if uuid is None:
            return Placed(rule.metric, refused="no_device")
        whole = (label(labels, "amd_partitioning") or "spx").lower() == "spx" or partition is None
        subject = self._subject("gpu_sample", (uuid if whole else f"{uuid}/{partition}",))
        about = {"model": "amd_model", "node": "node", "gpu_index": "amd_index", "driver": "driver"}
        found = {name: label(labels, role) for name, role in about.items()}
        found["node"] = found["node"] or self.labels.get("node")
        subject.about.update({k: v for k, v in found.items() if v is not None} | {"vendor": rule.vendor})
        return self._cell(rule, rule.slot, subject, self._workload(labels), False)

    def _serving(self, rule: Rule, labels: Mapping[str, str]) -> Placed:
        label = self.mapping.label
        slot = rule.slot
        if rule.split:
            outcome = labels.get(rule.split[0], "")
            if outcome not in rule.split[1]:
                return Placed(rule.metric, refused="unknown_outcome")
            slot = f"{rule.split[1][outcome]}+{outcome}"
        model = label(labels, "served_model") or self.labels.get("model")
        if not model:
            return Placed(rule.metric, refused="no_model")
        engine = "/".join(e for e in (label(labels, "engine"), label(labels, "worker")) if e)
        subject = self._subject("serving_sample", (model, engine))
        subject.about["server"] = rule.server
        return self._cell(rule, slot, subject, self._workload(labels), False)

    def _cell(self, rule: Rule, slot: str, subject: Subject, workload: Workload, moved: bool) -> Placed:
        again = "device_wide" if moved else "duplicate_series"
        return Placed(rule.metric, slot, rule.factor, rule.low, rule.high, subject, workload, again)

    def _subject(self, table: str, key: tuple[str, ...]) -> Subject:
        return self._subjects.setdefault((table, *key), Subject(table, key))

    def _workload(self, labels: Mapping[str, str]) -> Workload:
        """Whose work runs there: never the exporter's own pod, whose labels a scrape may add."""
        label = self.mapping.label
        pod = label(labels, "exported_pod")
        if pod:
            found: Workload = (label(labels, "exported_namespace"), pod, label(labels, "exported_container"))
        else:
            pod = label(labels, "pod")
            own = bool(pod) and fnmatchcase(str(pod), self.mapping.exporter_pods)
            found = NOBODY if own or not pod else (label(labels, "namespace"), pod, label(labels, "container"))
        return self._workloads.setdefault(found, found)

    def _text(self, name: str, labels: Mapping[str, str]) -> str:
        """Labels as JSON with sorted keys; people are hashed, the word None is no value where the mapping says so."""
        m = self.mapping
        blank = any(fnmatchcase(name, pattern) for pattern in m.none_is_null)
        kept = {
            k: hashlib.sha256(v.encode()).hexdigest()[:16] if k in m.hashed_labels and v else v
            for k, v in labels.items()
            if not (blank and v == "None")
        }
        return json.dumps({**self._common, **kept}, sort_keys=True, separators=(",", ":"))


MAX_TARGETS: Final = 10_000  # remembered; whoever pushes names them
_TARGETS: dict[tuple[tuple[str, str], ...], Target] = {}


def target(mapping: MetricMap, labels: Mapping[str, str]) -> Target:
    """The memory of the target these labels name; all memory is dropped when it outgrows `MAX_SERIES`."""
    key = (("", str(mapping.version)), *sorted((k, v) for k, v in labels.items() if k not in _NOT_TOLD))
    found = _TARGETS.get(key)
    if (found is None or len(found.known) > 1000) and sum(len(t.known) for t in list(_TARGETS.values())) > MAX_SERIES:
        _TARGETS.clear()
        found = None
    if found is None:
        if len(_TARGETS) >= MAX_TARGETS:
            _TARGETS.clear()
        found = _TARGETS[key] = Target(mapping, labels)
    return found
