"""Where the series of a page go: the versioned mapping file as frozen objects.

Source: our own; the facts behind each line stand in `mapping.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final

from observe.errors import ConfigError
from observe.schema import TABLES

FILE: Final = Path(__file__).with_name("mapping.yaml")

SENTINEL: Final = 2  # quality bits, as in the column `quality`
OUT_OF_RANGE: Final = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """How one metric becomes one column.

    `slot` is the cell it fills first: the column itself, or one seat of the column's group.
    `low` and `high` are in the exposed unit, both included.
    """

    metric: str
    table: str
    column: str
    slot: str
    factor: float
    low: float
    high: float
    tag: str | None
    device: bool
    flag: int
    server: str
    vendor: str = "nvidia"
    split: tuple[str, Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Seats that end in one column: the first filled one wins, or all are summed."""

    column: str
    seats: tuple[tuple[str, Rule], ...]  # by precedence
    summed: bool


@dataclass(frozen=True, slots=True)
class MetricMap:
    """The mapping file, validated."""

    version: int
    rules: Mapping[str, Rule]
    groups: Mapping[str, tuple[Group, ...]]  # by table
    at_least: float
    between: tuple[tuple[float, float], ...]
    blanks_for: str
    exactly: Mapping[str, float]
    prefixes: Mapping[str, str]
    labels: Mapping[str, tuple[str, ...]]
    exporter_pods: str
    other_entities: frozenset[str]
    ignore: Mapping[str, str]
    superseded: Mapping[str, str]
    units: Mapping[str, str]
    allow: tuple[str, ...]
    kinds: Mapping[str, str]
    none_is_null: tuple[str, ...]
    hashed_labels: frozenset[str] = field(default_factory=frozenset)

    def canonical(self, name: str) -> str:
        """The name under which the mapping knows a metric that another exporter repeats."""
        for theirs, ours in self.prefixes.items():
            if name.startswith(theirs):
                return ours + name.removeprefix(theirs)
        return name

    def blank(self, name: str, value: float) -> bool:
        """Whether a value is a driver's way to say that there is none."""
        if value >= self.at_least:
            return True
        if any(a <= value <= b for a, b in self.between) and fnmatchcase(name, self.blanks_for):
            return True
        return any(value == blank and fnmatchcase(name, pattern) for pattern, blank in self.exactly.items())

    def ignored(self, name: str) -> str | None:
        """Why a series is not stored although its exporter is known, else None."""
        return next((why for pattern, why in self.ignore.items() if fnmatchcase(name, pattern)), None)

    def unit(self, name: str) -> str | None:
        """What a series is measured in, where the mapping knows it."""
        return next((unit for pattern, unit in self.units.items() if fnmatchcase(name, pattern)), None)

    def stale(self, names: Set[str]) -> frozenset[str]:
        """Those names of a page that an exporter emits beside newer ones of the same page."""
        found = {old for old, new in self.superseded.items() if any(fnmatchcase(name, new) for name in names)}
        return frozenset(name for name in names if any(fnmatchcase(name, old) for old in found))

    def allowed(self, name: str) -> bool:
        """Whether a series is kept in the long form."""
        return any(fnmatchcase(name, pattern) for pattern in self.allow)

    def label(self, labels: Mapping[str, str], role: str) -> str | None:
        """The value of the first label that plays a role; empty ones count as absent."""
        for name in self.labels[role]:
            value = labels.get(name)
            if value:
                return value
        return None


@cache
def load(path: Path = FILE) -> MetricMap:
    """The mapping of a file, read once.

    Raises:
        ConfigError: a line names a table or column there is not, or the file lacks a part.
    """
    import yaml

    raw = yaml.safe_load(path.read_text("utf-8"))
    try:
        rules = {metric: _rule(metric, line) for metric, line in raw["cells"].items()}
        return MetricMap(
            version=int(raw["version"]),
            rules=rules,
            groups=_groups(tuple(rules.values())),
            at_least=float(raw["sentinels"]["at_least"]),
            between=tuple((float(a), float(b)) for a, b in raw["sentinels"]["between"]),
            blanks_for=raw["sentinels"]["for"],
            exactly={pattern: float(value) for pattern, value in raw["sentinels"]["exactly"].items()},
            prefixes=raw["prefixes"],
            labels={role: tuple(names) for role, names in raw["labels"].items()},
            exporter_pods=raw["exporter_pods"],
            other_entities=frozenset(raw["other_entities"]),
            ignore=raw["ignore"],
            superseded=raw["superseded"],
            units=raw["units"],
            allow=tuple(raw["allow"]),
            kinds=raw["kinds"],
            none_is_null=tuple(raw["none_is_null"]),
            hashed_labels=frozenset(raw["hashed_labels"]),
        )
    except KeyError as missing:
        raise ConfigError(
            f"{path.name}: the part {missing} is missing", hint="see the head of the file for its parts"
        ) from None


def _rule(metric: str, line: Mapping[str, Any]) -> Rule:
    table, _, column = line["to"].partition(".")
    split = next(iter(line["split"].items())) if "split" in line else None
    for name in split[1].values() if split else (column,):
        if name not in {c.name for c in TABLES[table].columns}:
            raise ConfigError(f"mapping.yaml: {metric}: table {table} has no column {name!r}")
    rank = line.get("rank")
    low, high = line.get("range", (float("-inf"), float("inf")))
    return Rule(
        metric=metric, table=table, column=column, slot=column if rank is None else f"{column}/{rank}",
        factor=float(line.get("factor", 1)), low=float(low), high=float(high), tag=line.get("tag"),
        device=bool(line.get("device", False)), flag=int(line.get("flag", 0)),
        server=line.get("server") or metric.partition(":")[0],
        vendor=line.get("vendor", "nvidia"), split=split,
    )  # fmt: skip


def _groups(rules: Sequence[Rule]) -> dict[str, tuple[Group, ...]]:
    seats: dict[tuple[str, str, bool], list[tuple[str, Rule]]] = {}
    for rule in rules:
        if rule.split:
            for value, column in rule.split[1].items():
                seats.setdefault((rule.table, column, True), []).append((f"{column}+{value}", rule))
        elif rule.slot != rule.column:
            seats.setdefault((rule.table, rule.column, False), []).append((rule.slot, rule))
    groups: dict[str, tuple[Group, ...]] = {}
    for (table, column, summed), members in seats.items():
        group = Group(column, tuple(sorted(members, key=lambda m: m[0])), summed)
        groups[table] = (*groups.get(table, ()), group)
    return groups
