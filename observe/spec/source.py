"""YAML read into plain data that still knows the line and column of every field.

Only data comes out: no tags, anchors or aliases, no key twice, at most 256 KiB and 32 levels.
`no`, `on` and `yes` are text, as are dates and times of day; numbers, `true`, `false` and `null`
are what they look like.

Source: YAML 1.2.2, core schema (section 10.3.2); limits from our own threat model. Events come from
PyYAML's parser; nothing of its constructors is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from observe.errors import ConfigError, Mark

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
_LONGEST_EXCERPT: Final = 200  # characters; a longer line is not shown
_LONGEST_NUMBER: Final = 40  # characters; longer digits are an identifier
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final[Mapping[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip

Scalar = str | int | float | bool | None
Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One value as written: a scalar, a list (`items`) or a mapping (`items` by `keys`), and where it stands."""

    line: int  # 1-based
    column: int  # 1-based
    scalar: Scalar = None
    text: str = ""  # a scalar as written
    items: tuple[Node, ...] = ()
    keys: tuple[Node, ...] | None = None
    is_list: bool = False

    @property
    def is_map(self) -> bool:
        """Whether it is a mapping."""
        return self.keys is not None

    def child(self, part: str | int) -> Node | None:
        """The value under a key or at an index; None when there is none."""
        if isinstance(part, int):
            return self.items[part] if self.is_list and part < len(self.items) else None
        return next((v for k, v in zip(self.keys or (), self.items, strict=False) if k.text == part), None)

    def key(self, name: str) -> Node | None:
        """The key itself, for its place."""
        return next((k for k in self.keys or () if k.text == name), None)

    def plain(self) -> Any:
        """The value as dicts, tuples and scalars."""
        if self.keys is not None:
            return {k.text: v.plain() for k, v in zip(self.keys, self.items, strict=True)}
        return tuple(v.plain() for v in self.items) if self.is_list else self.scalar


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document of a file: its root mapping and the file's lines, for excerpts."""

    file: Path
    root: Node
    lines: tuple[str, ...] = field(repr=False)

    @property
    def folder(self) -> Path:
        """The folder that relative paths in it start from."""
        return self.file.parent

    def find(self, loc: Loc) -> tuple[Node, Loc]:
        """The deepest value along `loc` and the part of `loc` that led there; unknown parts are stepped over."""
        node, known = self.root, list[str | int]()
        for part in loc:
            child = node.child(part)
            if child is not None:
                node = child
                known.append(part)
        return node, tuple(known)

    def refusal(self, message: str, loc: Loc, hint: str = "", at_key: bool = False) -> ConfigError:
        """An error at the value (or the key) at `loc`, with its excerpt."""
        node, path = self.find(loc)
        if at_key and path:
            parent, _ = self.find(path[:-1])
            node = parent.key(str(path[-1])) or node
        mark = Mark(str(self.file), node.line, node.column, ".".join(str(p) for p in path))
        return ConfigError(message, mark, excerpt(self.lines, node.line), hint)

    def where(self, loc: Loc) -> str:
        """`file:line:col` of the value at `loc`."""
        node, _ = self.find(loc)
        return f"{self.file}:{node.line}:{node.column}"


def excerpt(lines: tuple[str, ...], line: int) -> str:
    """Line `line` (1-based) of a file, or nothing when it is absent or too long to show."""
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    return text if len(text) <= _LONGEST_EXCERPT else ""


def read(path: Path) -> tuple[Document, ...]:
    """The documents of one YAML file, empty ones left out.

    Raises:
        ConfigError: the file cannot be read or is not the YAML we accept, with its place.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than 256 KiB", hint="split it; configuration is small")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8", Mark(str(path), line, 1), hint="save the file as UTF-8") from error
    return parse(text, path)


def parse(text: str, path: Path) -> tuple[Document, ...]:
    """The documents of a YAML text; `path` names it in errors and is the home of relative paths.

    Raises:
        ConfigError: not the YAML we accept, with its place.
    """
    lines = tuple(text.splitlines())
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return tuple(_documents(text, path, lines, fast))
    except yaml.YAMLError:
        try:  # the pure parser words its complaints the same way everywhere
            return tuple(_documents(text, path, lines, yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise _syntax(error, path, lines) from error


def _syntax(error: yaml.YAMLError, path: Path, lines: tuple[str, ...]) -> ConfigError:
    place = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", "") or getattr(error, "reason", "") or "cannot be parsed")
    line, column = (place.line + 1, place.column + 1) if place else (1, 1)
    shown = excerpt(lines, line)
    hint = "a secret is referenced as env:NAME" if "${" in shown else ""
    return ConfigError(f"not valid YAML: {problem}", Mark(str(path), line, column), shown, hint)


def _documents(text: str, path: Path, lines: tuple[str, ...], loader: Any) -> Iterator[Document]:
    builder = _Builder(path, lines)
    for event in yaml.parse(text, Loader=loader):
        root = builder.take(event)
        if root is None or (not root.is_map and not root.is_list and root.scalar is None):
            continue
        if not root.is_map:
            builder.refuse("a document must be a mapping of fields", root, "start with apiVersion: and kind:")
        yield Document(path, root, lines)


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    line: int
    column: int
    is_map: bool
    keys: dict[str, Node] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)

    @property
    def wants_key(self) -> bool:
        return self.is_map and len(self.keys) == len(self.items)

    def close(self) -> Node:
        keys = tuple(self.keys.values()) if self.is_map else None
        return Node(self.line, self.column, items=tuple(self.items), keys=keys, is_list=not self.is_map)


class _Builder:
    """Builds nodes from parser events without recursion, so depth is bounded by us and not by the stack."""

    def __init__(self, path: Path, lines: tuple[str, ...]) -> None:
        self._path, self._lines = path, lines
        self._open: list[_Open] = []

    def take(self, event: Any) -> Node | None:
        """Take one event; returns the root when a document is complete."""
        if not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            return None
        start: Any = event.start_mark
        line, column = start.line + 1, start.column + 1
        self._guard(event, Node(line, column))
        if isinstance(event, yaml.ScalarEvent):
            value = scalar(event.value) if event.implicit[0] else event.value
            return self._add(Node(line, column, value, event.value))
        if isinstance(event, yaml.CollectionStartEvent):
            self._start(line, column, isinstance(event, yaml.MappingStartEvent))
            return None
        return self._add(self._open.pop().close())

    def _guard(self, event: Any, place: Node) -> None:
        if isinstance(event, yaml.AliasEvent):
            self.refuse(f"alias '*{event.anchor}' is not allowed", place, "write the value out")
        if getattr(event, "anchor", None):
            self.refuse(f"anchor '&{event.anchor}' is not allowed", place, "write the value out where it is needed")
        if getattr(event, "tag", None):
            self.refuse(f"tag {event.tag!r} is not allowed", place, "plain values only")

    def _start(self, line: int, column: int, is_map: bool) -> None:
        place = Node(line, column)
        if self._open and self._open[-1].wants_key:
            self.refuse("a key must be plain text", place, "is a space missing after a colon, or a quote around {}?")
        if len(self._open) >= MAX_DEPTH:
            self.refuse(f"more than {MAX_DEPTH} levels deep", place, "configuration is flat")
        self._open.append(_Open(line, column, is_map))

    def _add(self, node: Node) -> Node | None:
        if not self._open:
            return node
        parent = self._open[-1]
        if not parent.wants_key:
            parent.items.append(node)
            return None
        first = parent.keys.get(node.text)
        if first is not None:
            self.refuse(f"field {node.text!r} is written twice", node, f"the first is on line {first.line}")
        parent.keys[node.text] = node
        return None

    def refuse(self, message: str, at: Node, hint: str) -> NoReturn:
        """Raise a ConfigError at a node."""
        raise ConfigError(message, Mark(str(self._path), at.line, at.column), excerpt(self._lines, at.line), hint)


def scalar(text: str) -> Scalar:
    """A plain scalar by the core schema; everything it does not know is text.

    >>> [scalar(t) for t in ("no", "5m", "12", "1.5", "true", "~", "2026-11-20")]
    ['no', '5m', 12, 1.5, True, None, '2026-11-20']
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    return float(text) if _FLOAT.fullmatch(text) and isfinite(float(text)) else text
