"""`docs/configuration.md`: every field of every kind, from the classes that read them.

Source: our own. `python -m observe.spec.document > docs/configuration.md` writes it; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from observe.spec.catalogue import Field, fields, words
from observe.spec.editor import schema
from observe.spec.unused import MODELSPEC_USED, NOTE, is_kept, is_unused

_INTRO: Final = """# Configuration

Made by `python -m observe.spec.document`; a test fails when it is out of date.

`observe init` writes a commented beginning, `observe check -c observe.yaml` says what is in effect and where every
value comes from, and tells every mistake of every file at once. A site is one file; models lie beside it in
`models/*.yaml`. A file may hold several documents, divided by `---`; relative paths start from the file's folder.

- Ours (`observe/v1`: `Site`, `Monitoring`) are strict: an unknown field is an error that names the nearest known one.
- Theirs (`piqc.ai/v1alpha1`: `ModelSpec` of ParallelIQ) is read tolerantly: an unknown field is a warning, an empty one
  counts as not written, and a misspelling or a contradiction is an error.
- A document of only `name` and `aliases` is a model known by name.
- Units are always written: `800ms`, `15s`, `5m`, `2h`, `30d`, `2w`; `64MiB`, `100GB`; `99.9%`; `2.90 USD/h`; `2x`;
  effects as `0.1σ` (of the reference), `10%` (of its median) or `5pp` (of a share); instants as ISO 8601, UTC.
- Secrets are references, `env:NAME` or `file:PATH`, read when they are needed and never printed. A file that everybody
  on the machine can read is a warning.
- YAML: `no`, `on` and `yes` are text; no anchors, aliases or tags, no field twice; at most 256 KiB and 32 levels.

In an editor with yaml-language-server, `observe schema --out .schemas` and a first line
`# yaml-language-server: $schema=.schemas/observe.schema.json` check and complete while you type.
In paths below, `NAME` is a name of your choice and `N` an entry of a list.
"""
_SECTIONS: Final = (
    ("Site", "One installation: `apiVersion: observe/v1`, `kind: Site`. Everything may be left out."),
    ("Monitoring", "What is watched about one model: `apiVersion: observe/v1`, `kind: Monitoring`. `drift.reference` may also be written `{from: …, to: …}`, a feature as its name alone."),
    ("ModelSpec", "What a model is and promises: `apiVersion: piqc.ai/v1alpha1`, `kind: ModelSpec`. Only the name is required. The unit of a number is in its name."),
    ("BareModel", "A model known by name only; without `apiVersion` and `kind`."),
)  # fmt: skip


def render() -> str:
    """The whole page as Markdown."""
    return _INTRO + "".join(_section(kind, text) for kind, text in _SECTIONS)


def _section(kind: str, text: str) -> str:
    theirs = kind == "ModelSpec"
    last = "used for" if theirs else "default"
    lines = ["", f"## {'A bare model' if kind == 'BareModel' else kind}", "", text, ""]
    lines += [f"| field | meaning | type | {last} | example |", "|---|---|---|---|---|"]
    lines += _rows(kind)
    return "\n".join(lines) + "\n"


def _rows(kind: str) -> Iterator[str]:
    definitions = schema(kind)
    for field in fields(kind):
        if field.inner is not None and not _listed(field):
            continue
        known = _known(definitions, field)
        default = "" if "," in field.default else field.default
        example = words(field).example or default or next(iter(known.get("examples", ())), "")
        cells = (
            f"`{field.path}`", words(field).meaning, _type(known, field), _effect(kind, field),
            f"`{example}`" if example else "",
        )  # fmt: skip
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _listed(field: Field) -> bool:
    return bool(words(field).example)  # a list or mapping of one's own names, such as collectors


def _known(definitions: Mapping[str, Any], field: Field) -> dict[str, Any]:
    """What the schema says of a field; of one that may be empty, of its value."""
    owner = definitions.get("$defs", {}).get(field.owner.__name__, definitions)
    whole = owner if "properties" in owner else next(o for o in owner["anyOf"] if "properties" in o)
    known: dict[str, Any] = whole["properties"][field.name]
    inner: dict[str, Any] = next((o for o in known.get("anyOf", ()) if o.get("type") != "null"), {})
    return {**inner, **{k: v for k, v in known.items() if k != "anyOf"}}


def _type(known: dict[str, Any], field: Field) -> str:
    choices = known.get("enum") or ([known["const"]] if "const" in known else None)
    names = {"object": "mapping", "array": "list", "boolean": "true or false", "integer": "whole number"}
    if field.name == "pinned":
        return "auto, or a period"
    if field.path == "slos.N.window":
        return "duration, or a calendar period"
    if choices:
        return ", ".join(map(str, choices))
    kind = known.get("type", "mapping" if field.inner else "")
    told = known["title"] if known.get("title", "X")[0].islower() or "USD" in known.get("title", "") else None
    return str(told or ("text" if isinstance(kind, list) or kind == "string" else names.get(kind, kind))) + _bounds(
        known
    )


def _bounds(known: dict[str, Any]) -> str:
    words_of = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
    return "".join(f", {sign} {known[name]:g}" for name, sign in words_of if name in known)


def _effect(kind: str, field: Field) -> str:
    if kind == "ModelSpec":
        path = field.path.replace(".N", "")
        used = next((MODELSPEC_USED[p] for p in MODELSPEC_USED if f"{path}.".startswith(f"{p}.")), NOTE)
        return used if not is_kept(field.path) else NOTE
    default = "required" if field.required else field.default or "none"
    return f"{default} ({NOTE})" if is_unused(field.path) else default


if __name__ == "__main__":
    print(render(), end="")
