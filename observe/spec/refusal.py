"""A validator's complaint becomes an error a person can act on: where it stands, what was expected, a hint.

Source: error types of pydantic-core 2; the layout is that of `observe.errors.ConfigError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from observe.errors import ConfigError
from observe.spec.excerpt import is_secret_place
from observe.spec.fields import Tree, advice
from observe.spec.nearest import did_you_mean
from observe.spec.nodes import Loc, Node
from observe.spec.quantity import Malformed
from observe.spec.secret import HIDDEN
from observe.spec.source import Document
from observe.spec.written import Written

_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "text", "int_type": "a whole number", "float_type": "a number", "bool_type": "true or false",
    "model_type": "a mapping of fields", "model_attributes_type": "a mapping of fields", "mapping_type": "a mapping",
    "dict_type": "a mapping", "tuple_type": "a list", "list_type": "a list", "is_instance_of": "text",
    "int_parsing": "a whole number", "float_parsing": "a number", "datetime_type": "a date or time",
    "path_type": "a path", "string_too_short": "some text", "string_too_long": "a shorter text",
}  # fmt: skip
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": ("more than", "gt"), "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"), "less_than_equal": ("at most", "le"),
}  # fmt: skip


class ConfigErrors(ConfigError):
    """Several errors at once; it stands where the first one stands and prints all of them."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.message, first.mark, first.excerpt, first.hint)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        """Every error as a compiler would print it, an empty line between two."""
        return "\n\n".join(str(e) for e in self.errors)


def together(errors: Sequence[ConfigError]) -> ConfigError:
    """One error as it is, several as a group."""
    return errors[0] if len(errors) == 1 else ConfigErrors(errors)


def without_excerpts(error: ConfigError) -> ConfigError:
    """The same without lines of the files, for those who may not read them."""
    every = error.errors if isinstance(error, ConfigErrors) else (error,)
    return together([ConfigError(e.message, e.mark, hint=e.hint) for e in every])


def refusals(
    document: Document, error: ValidationError, model: type[BaseModel], kinds: Mapping[str, Tree]
) -> list[ConfigError]:
    """The errors of one document validated as `model`, in the order they stand in the file."""
    every = error.errors(include_url=False)
    found = [_Complaint(document, model, kinds, e).refusal() for e in every if not _follows(e, every)]
    return sorted(found, key=lambda e: (e.mark.line, e.mark.column) if e.mark else (0, 0))


def _follows(error: ErrorDetails, every: Sequence[ErrorDetails]) -> bool:
    """Whether a list is called too short only because an entry of it was refused."""
    loc = error["loc"]
    return error["type"] == "too_short" and any(e["loc"][: len(loc)] == loc and e["loc"] != loc for e in every)


@dataclass(frozen=True, slots=True)
class _Complaint:
    """One complaint of the validator about one document."""

    document: Document
    model: type[BaseModel]
    kinds: Mapping[str, Tree]
    error: Mapping[str, Any]

    def refusal(self) -> ConfigError:
        loc: Loc = self.error["loc"]
        known = _fields(self.model, loc[:-1])
        if self.error["type"] == "extra_forbidden":
            hint = advice(str(loc[-1]), known, self.model.__name__, self.kinds)
            return self.document.refusal(f"unknown field {loc[-1]!r}", loc, hint, at_key=True)
        if self.error["type"] == "missing":
            needed = ", ".join(name for name, required in known.items() if required)
            return self.document.refusal(f"missing field {loc[-1]!r}", loc[:-1], f"needed: {needed}")
        message, hint = self._said()
        cause = self.error.get("ctx", {}).get("error")
        inner: Loc = (*loc, *cause.at) if isinstance(cause, Malformed) else loc
        refused = self.document.refusal(message, inner, hint)
        return _masked(self.document, refused, loc) if isinstance(cause, Malformed) and not cause.shows else refused

    def _said(self) -> tuple[str, str]:
        kind, context = str(self.error["type"]), self.error.get("ctx", {})
        cause = context.get("error")
        given = HIDDEN if self._is_secret() else _shown(self.error.get("input"))
        if isinstance(cause, Malformed):
            return str(cause), cause.hint
        if kind == "literal_error":
            choices = str(context["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
            return f"{given} is not one of the choices", did_you_mean(str(self.error.get("input")), choices)
        if kind == "too_short":
            return (
                f"expected {context['min_length']} or more entries, got {context['actual_length']}",
                "add what belongs into it, or leave the field out",
            )
        if kind in _BOUNDS:
            words, bound = _BOUNDS[kind]
            return f"{given} is out of range", f"it must be {words} {context[bound]:g}"
        return f"expected {_EXPECTED.get(kind, 'another value')}, got {given}", self._shape_hint(kind)

    def _is_secret(self) -> bool:
        return any(is_secret_place(str(part)) for part in self.error["loc"])

    def _shape_hint(self, kind: str) -> str:
        given, name = self.error.get("input"), self.error["loc"][-1] if self.error["loc"] else ""
        wants = _EXPECTED.get(kind, "")
        if given is None and wants.startswith("a mapping"):
            return "indent what belongs to it by two more spaces, or remove it"
        if wants.startswith("a mapping") and isinstance(given, tuple | list):
            return f"write name: fields, without dashes: {name}: {{my-name: …}}"
        if wants == "a list" and given is not None:
            shows = isinstance(given, str) and not self._is_secret()
            return f"write it as a list: [{given}]" if shows else "start each entry with a dash"
        return ""


def _shown(value: Any) -> str:
    if isinstance(value, Node):
        value = value.text if value.scalar is None else value.scalar
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, tuple | list):
        return "a list"
    return "nothing" if value is None else repr(value)[:80]


def _fields(model: type[BaseModel], loc: Loc) -> dict[str, bool]:
    """Names of the fields a file may hold at `loc`, and whether they are required."""
    for part in loc:
        found = next((f for n, f in model.model_fields.items() if part in {f.alias or n}), None)
        inner = _inner(found.annotation) if found else None
        model = inner or model
    return {f.alias or n: f.is_required() for n, f in model.model_fields.items()}


def _inner(annotation: Any) -> type[Written] | None:
    """The `Written` class inside an annotation such as `tuple[Slo, ...]` or `Mapping[str, X] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Written):
        return annotation
    return next((found for a in get_args(annotation) if (found := _inner(a)) is not None), None)


def _masked(document: Document, refused: ConfigError, loc: Loc) -> ConfigError:
    """The same error with the value blanked in its excerpt: it may be the secret itself."""
    node, _ = document.find(loc)
    before = refused.excerpt[: node.column - 1]
    return ConfigError(refused.message, refused.mark, f"{before}…" if refused.excerpt else "", refused.hint)
