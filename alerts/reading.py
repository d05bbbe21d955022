"""A field of somebody else's document, with its place: read, refused or told as not kept.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from observe.errors import ConfigError
from observe.spec.nodes import Loc, Node
from observe.spec.quantity import Malformed, parse_duration

if TYPE_CHECKING:
    from observe.spec.source import Document

_LONG: Final = {"M": 30, "Q": 90, "Y": 365}  # days; OpenSLO leaves to us what a month is


@dataclass(frozen=True, slots=True)
class Field:
    """A place in a document; there may be nothing there."""

    document: Document
    loc: Loc
    notes: list[str]

    @property
    def node(self) -> Node | None:
        """What stands there."""
        node: Node | None = self.document.root
        for part in self.loc:
            node = node.child(part) if node is not None else None
        return node

    @property
    def where(self) -> str:
        """`file:line:col`."""
        return self.document.where(self.loc)

    @property
    def given(self) -> bool:
        """Whether something stands there."""
        node = self.node
        return node is not None and (node.is_map or node.is_list or node.scalar is not None)

    def __call__(self, *path: str | int) -> Field:
        """A field below."""
        return Field(self.document, (*self.loc, *path), self.notes)

    def items(self) -> Iterator[Field]:
        """The items of a list."""
        node = self.node
        for i in range(len(node.items) if node is not None and node.is_list else 0):
            yield self(i)

    def text(self, default: str = "") -> str:
        """A scalar as written."""
        node = self.node
        return node.text if node is not None and self.given and node.keys is None else default

    def needed(self) -> str:
        """A scalar that must be there.

        Raises:
            ConfigError: it is not.
        """
        found = self.text()
        if not found:
            raise self.refused(f"{'.'.join(map(str, self.loc))} is missing")
        return found

    def number(self, default: float | None = None) -> float:
        """A number.

        Raises:
            ConfigError: something else, or nothing without a default.
        """
        if not self.given and default is not None:
            return default
        try:
            return float(self.needed())
        except ValueError:
            raise self.refused(f"expected a number, got {self.text()!r}") from None

    def flag(self, default: bool) -> bool:
        """True or false, also in quotes, as templates write them.

        Raises:
            ConfigError: something else.
        """
        node = self.node
        if node is None or not self.given:
            return default
        if isinstance(node.scalar, bool):
            return node.scalar
        if self.text().lower() not in ("true", "false"):
            raise self.refused(f"expected true or false, got {self.text()!r}", "true or false")
        return self.text().lower() == "true"

    def texts(self) -> dict[str, str]:
        """A mapping of texts."""
        node = self.node
        if node is None or node.keys is None:
            return {}
        return {key.text: value.text for key, value in zip(node.keys, node.items, strict=True) if not value.is_list}

    def seconds(self) -> float:
        """A duration; months, quarters and years are 30, 90 and 365 days.

        Raises:
            ConfigError: it is none.
        """
        text = self.needed()
        if text[-1] in _LONG and text[:-1].isdigit():
            return int(text[:-1]) * _LONG[text[-1]] * 86_400.0
        with self.refusing():
            return parse_duration(text)
        raise AssertionError

    def share(self) -> float:
        """A percentage without its sign as a fraction between 0 and 1, both excluded.

        Raises:
            ConfigError: it is none.
        """
        return self.inside(round(self.number() / 100, 12), "between 0 and 100, both excluded: 99.9")

    def inside(self, value: float, hint: str) -> float:
        """An objective that leaves a budget.

        Raises:
            ConfigError: it does not.
        """
        if not 0 < value < 1:
            raise self.refused(f"{self.text()} leaves no error budget or asks for nothing", hint)
        return value

    def note(self, said: str) -> None:
        """Tell that something is not kept."""
        self.notes.append(f"{self.where}: {said}")

    def refused(self, message: str, hint: str = "") -> ConfigError:
        """An error at this place."""
        return self.document.refusal(message, self.loc, hint)

    def refusing(self) -> _Refusing:
        """Turns what is malformed inside into an error at this place."""
        return _Refusing(self)


@dataclass(frozen=True, slots=True)
class _Refusing:
    """Context in which a Malformed becomes a ConfigError with its place."""

    field: Field

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Give the complaint its place."""
        if isinstance(error, Malformed):
            raise self.field.refused(str(error), error.hint) from None
