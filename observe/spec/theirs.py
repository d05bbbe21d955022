"""Reading a format that is not ours: its fields typed and checked, what it does not know told and left.

A field the format does not know is a warning, unless it is nearly a known name of its place: then it
is a mistake, and refused. An empty field counts as not written. Scalars come as nodes, so that text
stays as written (`1.10` is not 1.1).

Source: our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from observe.errors import ConfigError
from observe.spec.fields import Tree, homes
from observe.spec.nearest import nearest
from observe.spec.nodes import Loc, Node
from observe.spec.quantity import Malformed
from observe.spec.secret import shown_value
from observe.spec.source import Document
from observe.spec.written import NAME, Written, check_name, check_url

_NEARLY: Final = 0.8  # similarity from which an unknown name counts as a misspelling


class Theirs(Written):
    """A mapping of fields of another project's format: unknown ones are left out, all of ours are optional."""

    model_config = ConfigDict(extra="ignore")


def leaves_as_nodes(node: Node) -> Any:
    """The value as dicts and tuples with scalars as nodes; what is empty is not there."""
    if node.keys is not None:
        return {k.text: leaves_as_nodes(v) for k, v in zip(node.keys, node.items, strict=True) if not _empty(v)}
    return tuple(leaves_as_nodes(v) for v in node.items if not _empty(v)) if node.is_list else node


def _empty(node: Node) -> bool:
    return not node.is_map and not node.is_list and node.scalar is None


def _text(value: Any) -> Any:
    return value.text if isinstance(value, Node) else value


def _number(value: Any) -> Any:
    if not isinstance(value, Node):
        return value
    if isinstance(value.scalar, bool) or not isinstance(value.scalar, int | float):
        raise Malformed(f"expected a number, got {value.text!r}", "a number without a unit; the field's name says it")
    return value.scalar


def _whole(value: Any) -> Any:
    number = _number(value)
    if isinstance(number, float) and not number.is_integer():
        raise Malformed(f"expected a whole number, got {number:g}")
    return int(number) if isinstance(number, float) else number


def _flag(value: Any) -> Any:
    if not isinstance(value, Node):
        return value
    if not isinstance(value.scalar, bool):
        hint = "YAML 1.2 reads yes, no, on and off as text" if value.text in {"yes", "no", "on", "off"} else ""
        raise Malformed(f"expected true or false, got {value.text!r}", hint)
    return value.scalar


def _path(value: Any) -> Any:
    path = _text(value)
    if not isinstance(path, str) or path.startswith("/"):
        return path
    if path.startswith(("http://", "https://")):
        return check_url(path)
    raise Malformed(f"{path!r} is not the path of a probe", f"start it with a slash: /{path}")


def _texts(value: Any) -> Any:
    return {k: _text(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _variables(value: Any) -> Any:
    texts = _texts(value)
    if not isinstance(texts, Mapping):
        return texts
    return {k: shown_value(k, v) if isinstance(v, str) else v for k, v in texts.items()}


_SCALAR: Final = {"type": ["string", "number", "boolean"]}  # YAML's 1.10 is a number to editors, and text to us
Text = Annotated[str, BeforeValidator(_text), WithJsonSchema(_SCALAR)]
TheirName = Annotated[
    str, BeforeValidator(check_name), BeforeValidator(_text), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})
]  # fmt: skip
Number = Annotated[float, BeforeValidator(_number), Field(ge=0)]
Above0 = Annotated[float, BeforeValidator(_number), Field(gt=0)]
Count = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
AtLeast1 = Annotated[int, BeforeValidator(_whole), Field(ge=1)]
Port = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=65_535)]
Flag = Annotated[bool, BeforeValidator(_flag)]
ProbePath = Annotated[str, BeforeValidator(_path), WithJsonSchema({"type": "string", "pattern": "^(/|https?://)"})]
_SCALARS: Final = WithJsonSchema({"type": "object", "additionalProperties": _SCALAR})
Texts = Annotated[Mapping[str, str], BeforeValidator(_texts), _SCALARS]
Variables = Annotated[Mapping[str, str], BeforeValidator(_variables), _SCALARS]
AsText = BeforeValidator(_text)  # before a Literal


def unknown_fields(document: Document, known: Tree, version: str) -> tuple[list[ConfigError], list[str]]:
    """Fields the format does not know: errors where one is nearly a known name, warnings elsewhere."""
    errors: list[ConfigError] = []
    warnings: list[str] = []
    for loc, siblings in _strangers(document.root, known, ()):
        name = str(loc[-1])
        meant = nearest(name, siblings, _NEARLY)
        if meant is not None:
            errors.append(document.refusal(f"unknown field {name!r}", loc, f"did you mean {meant!r}?", at_key=True))
            continue
        home = next(homes(name, known), None)
        advice = f"; it belongs under {home}" if home else ""
        warnings.append(f"{document.where(loc)}: field {name!r} is unknown to {version} and not used{advice}")
    return errors, warnings


def _strangers(node: Node, known: Tree, loc: Loc) -> Iterator[tuple[Loc, Tree]]:
    if node.is_list:
        for i, item in enumerate(node.items):
            yield from _strangers(item, known, (*loc, i))
        return
    for key, value in zip(node.keys or (), node.items, strict=False):
        here = (*loc, key.text)
        if key.text not in known:
            yield here, known
        elif known[key.text]:
            yield from _strangers(value, known[key.text], here)
