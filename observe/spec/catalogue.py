"""Every field a file may hold: its path, meaning, type, default and an example, from the classes that read it.

`observe schema` and docs/configuration.md are made of this; the words stand in `fields.yaml`.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from observe.spec.collecting import PULLED, PUSHED_EVERY_S
from observe.spec.documents import BareModel
from observe.spec.modelspec import ModelSpec
from observe.spec.monitoring import Monitoring
from observe.spec.quantity import write_duration
from observe.spec.site import Site
from observe.spec.source import parse
from observe.spec.written import Written

KINDS: Final[Mapping[str, type[Written]]] = {
    "Site": Site, "Monitoring": Monitoring, "ModelSpec": ModelSpec, "BareModel": BareModel,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where it stands (`collectors.NAME.every`, `slos.N.below`), and what there is to know."""

    path: str
    owner: type[Written]
    name: str  # as in a file
    info: FieldInfo
    inner: type[Written] | None  # the class of what it holds

    @property
    def required(self) -> bool:
        """Whether it must be written."""
        return self.info.is_required()

    @property
    def default(self) -> str:
        """What is in effect when it is not written, as text; "" where it is required or there is nothing."""
        if (self.owner.__name__, self.name) == ("CollectorSpec", "every"):  # filled in by type
            by_type = [f"{write_duration(s)} ({kind})" for kind, s in PULLED.items()]
            return f"{', '.join(by_type)}, else {write_duration(PUSHED_EVERY_S)}"
        if self.required or self.inner is not None:
            return ""
        value = self.info.get_default(call_default_factory=True)
        return "" if value is None else _told(_plain(self.info, value))


def fields(kind: str) -> Iterator[Field]:
    """The fields of a kind, in the order of its classes."""
    yield from _below(KINDS[kind], "")


def _below(model: type[Written], prefix: str) -> Iterator[Field]:
    for attribute, info in model.model_fields.items():
        name = info.alias or attribute
        inner, step = _inner(info.annotation)
        yield Field(f"{prefix}{name}", model, name, info, inner)
        if inner is not None:
            yield from _below(inner, f"{prefix}{name}{step}.")


def _inner(annotation: Any, step: str = "") -> tuple[type[Written] | None, str]:
    """The class inside an annotation, and how a path steps into it: `.N` for a list, `.NAME` for a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Written):
        return annotation, step
    origin = getattr(annotation, "__origin__", None)
    step = ".N" if origin is tuple else ".NAME" if origin is Mapping else step
    found = (_inner(a, step) for a in get_args(annotation))
    return next((f for f in found if f[0] is not None), (None, ""))


def _plain(info: FieldInfo, value: Any) -> Any:
    annotation: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
    return TypeAdapter(annotation).dump_python(value, mode="json")


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_told(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Words:
    """What a field means, and a value to begin with."""

    meaning: str
    example: str = ""


@cache
def written() -> Mapping[tuple[str, str], Words]:
    """The words of `fields.yaml` by class and field."""
    place = files("observe.spec") / "fields.yaml"
    (document,) = parse(place.read_text(encoding="utf-8"), Path("fields.yaml"))
    told: dict[tuple[str, str], Words] = {}
    for owner, fields_of in document.root.plain().items():
        for name, said in fields_of.items():
            told[owner, name] = Words(said["is"], str(said["example"])) if isinstance(said, dict) else Words(said)
    return told


def words(field: Field) -> Words:
    """What is said about a field; of one that holds others, what its class says."""
    owners = (c.__name__ for c in field.owner.__mro__)  # what a class inherits, another says
    said = next((found for owner in owners if (found := written().get((owner, field.name)))), None)
    if said is not None:
        return said
    return Words((field.inner.__doc__ or "").partition("\n")[0] if field.inner else "")
