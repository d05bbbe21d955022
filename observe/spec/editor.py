"""JSON Schemas of the files people write, for editors: the classes that read them, with words and rules.

Types, patterns and bounds come from the classes; meanings and examples from `fields.yaml`; what a
validator knows of several fields at once stands in `RULES`. A schema refuses less than `observe check`:
it does not know other documents.

Source: JSON Schema draft 2020-12; yaml-language-server reads it by `# yaml-language-server: $schema=`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from observe.schema import Json
from observe.spec.catalogue import KINDS, Field, fields, words
from observe.spec.collecting import FETCHED, TYPES, WATCHED
from observe.spec.documents import KINDS as VERSIONS
from observe.spec.site import LATENESS_S, RETAINED_DAYS
from observe.spec.slos import KINDS as SLO_KINDS
from observe.spec.theirs import Theirs

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
NAMES: Final = {"site": "Site", "monitoring": "Monitoring", "modelspec": "ModelSpec"}
_NEVER: Final[Json] = {"not": {}}
_BOUNDS: Final = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def _when(types: tuple[str, ...], then: Json) -> Json:
    return {"if": {"properties": {"type": {"enum": list(types)}}, "required": ["type"]}, "then": then}


def _only_one(*alternatives: tuple[str, ...]) -> Json:
    return {"oneOf": [{"required": list(names)} for names in alternatives]}


RULES: Final[Mapping[str, Json]] = {  # what a class knows of several of its fields at once
    "CollectorSpec": {"allOf": [
        _when(FETCHED, {"required": ["targets"], "properties": {"targets": {"minItems": 1}}}),
        _when(tuple(t for t in TYPES if t not in FETCHED), {"properties": dict.fromkeys(("targets", "auth", "tls"), _NEVER)}),
        _when(("files",), {"required": ["path", "model"]}),
        _when(tuple(t for t in TYPES if t not in WATCHED), {"properties": {"path": _NEVER}}),
    ]},
    "TargetAuth": {**_only_one(("bearer",), ("username", "password")), "dependentRequired": {"username": ["password"], "password": ["username"]}},
    "TargetTls": {"dependentRequired": {"cert": ["key"], "key": ["cert"]}},
    "Slo": {
        "oneOf": [
            *({"required": [kind]} for kind in SLO_KINDS),
            {"required": ["prometheus"], "not": {"anyOf": [{"required": [kind]} for kind in SLO_KINDS]},
             "properties": {"prometheus": {"required": ["from"]}}},
        ],
        "dependentRequired": {"latency": ["below"]},
        "if": {"required": ["below"]}, "then": {"anyOf": [{"required": ["latency"]}, {"required": ["dependency"]}]},
    },
    "Seen": _only_one(("good",), ("errors",)),
    "Composite": {"properties": {"of": {"minProperties": 2}}},
    "Selector": {"anyOf": [
        {"required": [name], "properties": {name: {"not": {"enum": [[], {}]}}}} for name in ("cluster", "gatewayModels", "matchLabels")
    ]},
    "Reference": {"minProperties": 1, "maxProperties": 1},
}  # fmt: skip
_LIMITS: Final[Mapping[tuple[str, str], Json]] = {  # what a field's validator knows beyond its type
    ("StoreSpec", "retain"): {"propertyNames": {"enum": list(RETAINED_DAYS)}},
    ("Site", "lateness"): {"propertyNames": {"enum": list(LATENESS_S)}},
    ("Site", "models"): {"pattern": r"^(?!/)(?!.*\.\.).+$"},
    ("Slo", "objective"): {"pattern": r"^(?!0+(\.0+)? ?%$)\d{1,2}(\.\d+)? ?%$"},
}


def schema(kind: str) -> Json:
    """The schema of one kind of document: `Site`, `Monitoring` or `ModelSpec`."""
    made = _of(kind)
    return {"$schema": DIALECT, "$id": f"urn:observe:{kind.lower()}", **made}


def any_schema() -> Json:
    """One schema for every document: the kind decides. Files may hold several documents."""
    definitions: dict[str, Any] = {}
    choices = []
    for kind in (*NAMES.values(), "BareModel"):
        made = dict(_of(kind))
        definitions |= {f"{kind}.{name}": d for name, d in _renamed(made.pop("$defs", {}), kind).items()}
        definitions[kind] = _renamed(made, kind)
        is_kind: Json = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        if kind == "BareModel":
            is_kind = {"not": {"anyOf": [{"required": ["kind"]}, {"required": ["apiVersion"]}]}}
        choices.append({"if": is_kind, "then": {"$ref": f"#/$defs/{kind}"}})
    return {
        "$schema": DIALECT, "$id": "urn:observe:any", "title": "A file of Observe's configuration", "type": "object",
        "properties": {"kind": {"enum": list(NAMES.values())}}, "dependentRequired": {"apiVersion": ["kind"]},
        "allOf": choices, "$defs": definitions,
    }  # fmt: skip


def _of(kind: str) -> Json:
    made: dict[str, Any] = _bounded(KINDS[kind].model_json_schema(by_alias=True))
    classes: dict[str, Any] = {**made.get("$defs", {}), KINDS[kind].__name__: made}
    for field in fields(kind):
        _say(classes[field.owner.__name__], field)
    for name, rule in RULES.items():
        if name in classes:
            classes[name] |= rule
    for name, reshape in _RESHAPED.items():
        if name in classes:
            classes[name] = made["$defs"][name] = reshape(classes[name])
    if kind in VERSIONS:
        _head(made, kind)
    return {name: value for name, value in made.items() if name != "title"} | {"title": kind}


def _bounded(node: Any) -> Any:
    """The same with pydantic's bounds as JSON Schema's, where the value is a number in the file."""
    if isinstance(node, list):
        return [_bounded(item) for item in node]
    if not isinstance(node, dict):
        return node
    number = node.get("type") in ("integer", "number")
    kept = {name: _bounded(value) for name, value in node.items() if name not in _BOUNDS}
    return kept | {_BOUNDS[name]: node[name] for name in _BOUNDS if number and name in node}


def _head(made: dict[str, Any], kind: str) -> None:
    """Every document but a bare one starts with apiVersion and kind."""
    first = {
        "apiVersion": {"enum": list(VERSIONS[kind]), "description": "The format's version."},
        "kind": {"const": kind, "description": "What the document is."},
    }
    made["properties"] = first | made["properties"]
    made["required"] = [*first, *made.get("required", [])]


def _say(owner: dict[str, Any], field: Field) -> None:
    """Put meaning, example, default and limits of a field into its class's schema."""
    said = words(field)
    known: dict[str, Any] = owner["properties"][field.name]
    known = {name: value for name, value in known.items() if name != "default"}
    title = known.pop("title", "")
    unit = (
        title
        if title and title[0].islower()
        else next((o["title"] for o in known.get("anyOf", ()) if "title" in o), "")
    )
    known["description"] = said.meaning + (f" Default: {field.default}." if field.default else "")
    if unit:
        known["title"] = unit
    if said.example and "{" not in said.example and "[" not in said.example and known.get("type") == "string":
        known["examples"] = [said.example]
    if (field.owner.__name__, field.name) == ("CollectorSpec", "type"):
        known["enum"] = sorted({*TYPES, *(e.name for e in entry_points(group="observe.collectors"))})
    known |= _LIMITS.get((field.owner.__name__, field.name), {})
    tolerant = issubclass(field.owner, Theirs)
    if tolerant:
        owner["additionalProperties"] = True
    owner["properties"][field.name] = _or_empty(known) if tolerant and not field.required else known


def _or_empty(known: dict[str, Any]) -> dict[str, Any]:
    """Their empty fields count as not written."""
    if any(option.get("type") == "null" for option in known.get("anyOf", ())):
        return known
    said: dict[str, Any] = {name: known.pop(name) for name in ("title", "description") if name in known}
    return {**said, "anyOf": [known, {"type": "null"}]}


def _feature(whole: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{"type": "string", "description": "The feature's name."}, whole]}


def _reference(whole: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [whole, {"$ref": "#/$defs/Period"}]}


_RESHAPED: Final = {"Feature": _feature, "Reference": _reference}  # classes that may be written shorter


def _renamed(node: Any, kind: str) -> Any:
    """The same with references to definitions of one kind kept apart from those of others."""
    if isinstance(node, dict):
        return {
            k: f"#/$defs/{kind}.{v.rpartition('/')[2]}" if k == "$ref" else _renamed(v, kind) for k, v in node.items()
        }
    return [_renamed(item, kind) for item in node] if isinstance(node, list) else node
