"""Names of fields as a tree, and where a field that stands in the wrong place belongs.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args, get_origin

from observe.spec.nearest import did_you_mean, nearest
from observe.spec.written import Written

Tree = Mapping[str, Any]  # field -> its fields; None is a leaf, ANY is free inside
ANY: Final[Tree] = {}
EACH: Final = "*"  # stands for every key of a mapping whose keys people choose
_A_SLIP: Final = 0.85  # similarity from which a name is a slip of the finger, whatever it means elsewhere


def tree(model: type[Written]) -> Tree:
    """The fields of a model as a tree of the names files use."""
    return {f.alias or name: _below(f.annotation) for name, f in model.model_fields.items()}


def _below(annotation: Any) -> Tree | None:
    if isinstance(annotation, type) and issubclass(annotation, Written):
        return tree(annotation)
    within = next((found for a in get_args(annotation) if (found := _below(a)) is not None), None)
    if get_origin(annotation) is Mapping:
        return ANY if within is None else {EACH: within}
    return within


def homes(name: str, known: Tree, path: str = "") -> Iterator[str]:
    """Dotted paths under which a field of that name exists, the top level left out."""
    for key, below in known.items():
        here = "NAME" if key == EACH else key
        if key == name and path:
            yield path
        if below:
            yield from homes(name, below, f"{path}.{here}" if path else here)


def advice(name: str, siblings: Mapping[str, bool], kind: str, kinds: Mapping[str, Tree]) -> str:
    """A hint about an unknown field: a slip, its place in this kind or in another one, or what there is.

    Args:
        name: what was written.
        siblings: the fields of the place it was written at.
        kind: the document's kind.
        kinds: the fields of every kind.
    """
    slip = nearest(name, siblings, _A_SLIP)
    if slip is not None:
        return f"did you mean {slip!r}?"
    own = kinds.get(kind, ANY)
    if name in own and name not in siblings:
        return "it belongs to the top level: indent it less"
    home = next(homes(name, own), None)
    if home is not None:
        return f"it belongs under {home}"
    return _of_another_kind(name, kind, kinds) or did_you_mean(name, siblings)


def _of_another_kind(name: str, kind: str, kinds: Mapping[str, Tree]) -> str:
    for other, known in kinds.items():
        if other != kind and name in known:
            return f"{name} is a field of kind {other}, not of {kind}"
    for other, known in kinds.items():
        home = next(homes(name, known), None) if other != kind else None
        if home is not None:
            return f"{home}.{name} is a field of kind {other}, not of {kind}"
    return ""
