"""YAML read into plain data that still knows the line and column of every field.

Only data comes out: no tags, anchors or aliases, no key twice, at most 256 KiB and 32 levels. What is
wrong with one document is kept with it, so that a reader can go on and tell everything at once.
`no`, `on` and `yes` are text, as are dates and times of day; numbers, `true`, `false` and `null`
are what they look like.

Source: YAML 1.2.2, core schema (section 10.3.2); limits from our own threat model. Events come from
PyYAML's parser; nothing of its constructors is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from observe.errors import ConfigError, Mark
from observe.spec.excerpt import excerpt, told
from observe.spec.nodes import Loc, Node, scalar

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
_MOST_PROBLEMS: Final = 20  # of one document's YAML; more say nothing new
_HALF = re.compile(r"[\ud800-\udfff]")  # of a character, as an escape may write it


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document of a file: its root mapping, the file's lines for excerpts, and what is wrong with its YAML."""

    file: Path
    root: Node
    lines: tuple[str, ...] = field(repr=False)
    errors: tuple[ConfigError, ...] = ()

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
        mark = Mark(str(self.file), node.line, node.column, told(".".join(str(p) for p in path)))
        return ConfigError(told(message), mark, excerpt(self.lines, node.line), hint)

    def mark(self, text: str) -> Mark | None:
        """The place of the first scalar written as `text`."""
        return next((Mark(str(self.file), n.line, n.column) for n in _scalars(self.root) if n.text == text), None)

    def where(self, loc: Loc) -> str:
        """`file:line:col` of the value at `loc`."""
        node, _ = self.find(loc)
        return f"{self.file}:{node.line}:{node.column}"


def _scalars(node: Node) -> Iterator[Node]:
    if node.items:
        for item in node.items:
            yield from _scalars(item)
    else:
        yield node


@dataclass(frozen=True, slots=True)
class Reading:
    """The documents of one file up to where it can be read no further, and why it cannot."""

    documents: tuple[Document, ...] = ()
    failure: ConfigError | None = None

    @property
    def errors(self) -> tuple[ConfigError, ...]:
        """All that is wrong with the file's YAML."""
        told = tuple(error for document in self.documents for error in document.errors)
        return (*told, self.failure) if self.failure else told


def read(path: Path) -> Reading:
    """The documents of one YAML file, empty ones left out, and what is wrong with it."""
    try:
        return survey(_text(path), path)
    except ConfigError as error:
        return Reading(failure=error)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than 256 KiB", hint="split it; configuration is small")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8", Mark(str(path), line, 1), hint="save the file as UTF-8") from error


def parse(text: str, path: Path) -> tuple[Document, ...]:
    """The documents of a YAML text; `path` names it in errors and is the home of relative paths.

    Raises:
        ConfigError: not the YAML we accept, with its place.
    """
    reading = survey(text, path)
    if reading.errors:
        raise reading.errors[0]
    return reading.documents


def survey(text: str, path: Path) -> Reading:
    """The documents of a YAML text, and what is wrong with it."""
    lines = tuple(re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text))  # as YAML breaks lines
    fast = _surveyed(text, path, lines, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if fast.failure is None:
        return fast
    return _surveyed(text, path, lines, yaml.SafeLoader)  # it words its complaints the same way everywhere


def _surveyed(text: str, path: Path, lines: tuple[str, ...], loader: Any) -> Reading:
    found: list[Document] = []
    try:
        for document in _documents(text, path, lines, loader):
            found.append(document)  # what came before an error is kept
    except yaml.YAMLError as error:
        return Reading(tuple(found), _syntax(error, path, lines))
    except ConfigError as error:
        return Reading(tuple(found), error)
    return Reading(tuple(found))


def _syntax(error: yaml.YAMLError, path: Path, lines: tuple[str, ...]) -> ConfigError:
    place = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", "") or getattr(error, "reason", "") or "cannot be parsed")
    line, column = (place.line + 1, place.column + 1) if place else (1, 1)
    shown = excerpt(lines, line)
    raw = lines[line - 1] if 0 < line <= len(lines) else ""
    return ConfigError(f"not valid YAML: {problem}", Mark(str(path), line, column), shown, _syntax_hint(problem, raw))


def _syntax_hint(problem: str, text: str) -> str:
    if "${" in text:
        return "a secret is referenced as env:NAME"
    if "\\t" in problem or "\t" in text:
        return "indent with spaces; YAML allows no tabs"
    hints = {
        "mapping values are not allowed": "is the line indented too far, or does a value with ': ' need quotes?",
        "could not find expected ':'": "is a colon or a space after it missing?",
        "expected ',' or": "is a comma, a quote or a closing bracket missing before?",
        "expected <block end>": "is the line indented less or more than its neighbours?",
    }
    return next((hint for start, hint in hints.items() if problem.startswith(start)), "")


def _documents(text: str, path: Path, lines: tuple[str, ...], loader: Any) -> Iterator[Document]:
    builder = _Builder(path, lines)
    for event in yaml.parse(text, Loader=loader):
        root = builder.take(event)
        if root is None or (not root.is_map and not root.is_list and root.scalar is None and not builder.problems):
            continue
        if not root.is_map and not builder.problems:
            colon = re.search(r"\w:\S", root.text)
            hint = "a space is missing after the colon" if colon else "start with apiVersion: and kind:"
            builder.tell("a document must be a mapping of fields", root, hint)
        yield Document(path, root, lines, builder.told())


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
        self.problems: list[ConfigError] = []  # of the document being built

    def take(self, event: Any) -> Node | None:
        """Take one event; returns the root when a document is complete."""
        if not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            return None
        start: Any = event.start_mark
        line, column = start.line + 1, start.column + 1
        self._guard(event, Node(line, column))
        if isinstance(event, yaml.ScalarEvent):
            text = self._whole(event.value, Node(line, column))
            return self._add(Node(line, column, scalar(text) if event.implicit[0] else text, text))
        if isinstance(event, yaml.CollectionStartEvent):
            self._start(line, column, isinstance(event, yaml.MappingStartEvent))
            return None
        if isinstance(event, yaml.AliasEvent):
            return self._add(Node(line, column))
        return self._add(self._open.pop().close())

    def _guard(self, event: Any, place: Node) -> None:
        if isinstance(event, yaml.AliasEvent):
            self.tell(f"alias '*{self._name(event.anchor, place)}' is not allowed", place, "write the value out")
        elif getattr(event, "anchor", None):
            anchor = self._name(event.anchor, place)
            self.tell(f"anchor '&{anchor}' is not allowed", place, "write the value out where it is needed")
        if getattr(event, "tag", None):
            self.tell(f"tag {self._name(event.tag, place)!r} is not allowed", place, "plain values only")

    def _name(self, name: str | None, place: Node) -> str:
        """The name of an anchor or tag; what stands in the place of a secret may be one that begins with & or !."""
        line = self._lines[place.line - 1]
        return name if name and excerpt(self._lines, place.line) == line else "…"

    def _whole(self, text: str, place: Node) -> str:
        """A text without halves of characters, which nothing can print or store."""
        if not _HALF.search(text):
            return text
        hint = 'write the character itself, or all of it: "\\U0001F600"'
        self.tell("half of a character", place, hint)
        return _HALF.sub("\ufffd", text)

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
            self.tell(f"field {node.text!r} is written twice", node, f"the first is on line {first.line}")
        parent.keys[node.text if first is None else f"{node.text} {node.line}:{node.column}"] = node
        return None

    def told(self) -> tuple[ConfigError, ...]:
        """What was wrong with the document just built; the next one starts clean."""
        problems, self.problems = tuple(self.problems[:_MOST_PROBLEMS]), []
        return problems

    def tell(self, message: str, at: Node, hint: str) -> None:
        """Keep a ConfigError at a node and go on."""
        mark = Mark(str(self._path), at.line, at.column)
        self.problems.append(ConfigError(told(message), mark, excerpt(self._lines, at.line), hint))

    def refuse(self, message: str, at: Node, hint: str) -> NoReturn:
        """Raise a ConfigError at a node: nothing after it can be read."""
        self.tell(message, at, hint)
        raise self.problems.pop()
