"""What differs between two configurations, as dotted paths with the old and the new value.

Values are those that `observe check --json` shows: as people write them, secrets as references only.

Source: our own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from observe.spec.explain import as_json

if TYPE_CHECKING:
    from observe.spec import Config

SITE: Final = ""  # owner of what belongs to no model
_LONGEST: Final = 200  # characters of a value that are kept
_MOST: Final = 200  # values of one difference that are kept

Values = Mapping[str, str]  # value by dotted path
Changes = Mapping[str, tuple[str | None, str | None]]  # old and new value by dotted path; None: not there


def effective(config: Config) -> Mapping[str, Values]:
    """Every effective value by its owner: a model's name, or `SITE`; paths as in `Config.origins`."""
    said = as_json(config)
    owners = {SITE: dict(_flat(said["site"], "site"))}
    for name, model in said["models"].items():
        parts = (("modelspec", model["spec"]), ("", model["monitoring"]), ("aliases", model["aliases"]))
        prefix = f"models.{name}"
        owners[name] = dict(kv for part, value in parts for kv in _flat(value, f"{prefix}.{part}".rstrip(".")))
    return owners


def fingerprint(values: Mapping[str, Values]) -> str:
    """The same for the same effective values, however they are written; 64 hex digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def differences(old: Mapping[str, Values], new: Mapping[str, Values]) -> Mapping[str, Changes]:
    """What changed, by owner; owners without a change are left out."""
    found = {owner: _between(old.get(owner, {}), new.get(owner, {})) for owner in sorted({*old, *new})}
    return {owner: changes for owner, changes in found.items() if changes or (owner in old) != (owner in new)}


def _between(old: Values, new: Values) -> Changes:
    paths = [*new, *(path for path in old if path not in new)]
    return {path: (old.get(path), new.get(path)) for path in paths if old.get(path) != new.get(path)}


def parameters(changed: Mapping[str, Changes]) -> dict[str, Any]:
    """Differences as a command keeps them: `{"changed": n, "values": {path: [old, new]}}`, the first 200 values."""
    every = {path: list(pair) for changes in changed.values() for path, pair in changes.items()}
    kept = {path: pair for i, (path, pair) in enumerate(every.items()) if i < _MOST}
    return {"changed": len(every), "values": kept}


def line(name: str, changes: Changes, old: Values | None, new: Values | None) -> str:
    """One line about a model: `slos.ttft.objective 99% → 99.9% (+2 more)`."""
    if old is None or new is None:
        return "added to the configuration" if old is None else "taken out of the configuration"
    (path, (before, after)), *more = changes.items()
    rest = f" (+{len(more)} more)" if more else ""
    return f"configuration: {path.removeprefix(f'models.{name}.')} {before or '–'} → {after or '–'}{rest}"


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        for i, item in enumerate(value):  # by name where items have one, so that a new first item moves no other
            yield from _flat(item, f"{path}.{item.get('name', i)}")
    elif value is not None and value not in ([], ()):
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        yield path, text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
