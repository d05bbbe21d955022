"""Files become one validated configuration, or all of their errors at once.

Source: our own; ARCHITECTURE section 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from observe.errors import ConfigError
from observe.spec.config import Config, Model
from observe.spec.documents import Documents
from observe.spec.modelspec import ModelSpec
from observe.spec.monitoring import Monitoring
from observe.spec.nearest import did_you_mean
from observe.spec.nodes import Loc
from observe.spec.promised import promised, refused
from observe.spec.quantity import write_percent
from observe.spec.refusal import together
from observe.spec.second_looks import second_looks
from observe.spec.site import MODELS, Site, StoreSpec
from observe.spec.source import Document
from observe.spec.unused import warnings as unused_fields


def load(site_path: Path | None, extra: Sequence[Path] = ()) -> Config:
    """Read a site, the models beside it and any further files or folders.

    Args:
        site_path: the file with the `Site`; None takes a `Site` from `extra`, else the defaults.
        extra: more YAML files, or folders of them.

    Raises:
        ConfigError: a file is wrong; with several errors a `ConfigErrors` that prints all of them.
    """
    found = Documents()
    for path in ([site_path] if site_path else []) + [p for given in extra for p in _files(given)]:
        found.add_file(path)
    homes = [(document.folder, site.models) for document, site in found.sites]
    if site_path is not None and not homes:  # a broken site hides no error of its models
        homes = [(site_path.parent, MODELS)]
    for folder, pattern in homes:
        for path in sorted(folder.glob(pattern)):
            found.add_file(path)
    if site_path is not None and not found.sites and not found.errors:
        found.errors.append(ConfigError(f"{site_path} holds no Site", hint="add apiVersion: observe/v1, kind: Site"))
    _refuse_repeats(found)
    _refuse_strays(found)
    _refuse_overspent(found)
    found.errors += refused(found)
    if found.errors:
        raise together(found.errors)
    return _assembled(found)


def check(files: Sequence[Path], site: Path | None) -> Config:
    """The configuration as `observe check` sees it: `load`, with at least one file.

    Raises:
        ConfigError: as `load`, or there is nothing to check.
    """
    if not files and site is None:
        raise ConfigError("nothing to check", hint="name a file, or the site with -c observe.yaml")
    return load(site, files)


def _files(given: Path) -> list[Path]:
    if not given.is_dir():
        return [given]
    return sorted(p for p in given.rglob("*") if p.suffix in {".yaml", ".yml"} and p.is_file())


def _refuse_repeats(found: Documents) -> None:
    for document, _ in found.sites[1:]:
        first = found.sites[0][0].where(())
        found.errors.append(document.refusal("a second Site", ("kind",), f"the first is at {first}"))
    named = [(d, s.name, ("metadata", "name")) for d, s in found.specs] + [
        (d, b.name, ("name",)) for d, b in found.bare
    ]
    _refuse_twice(found, named, "model {} is declared twice")
    watched = [(d, m.model, ("modelRef",) if m.model_ref else ("metadata", "name")) for d, m in found.monitorings]
    _refuse_twice(found, watched, "model {} is already watched by another Monitoring")


def _refuse_twice(found: Documents, named: Sequence[tuple[Document, str, Loc]], message: str) -> None:
    first: dict[str, str] = {}
    for document, name, loc in named:
        if name in first:
            found.errors.append(document.refusal(message.format(repr(name)), loc, f"the first is at {first[name]}"))
        first.setdefault(name, document.where(loc))


def _refuse_strays(found: Documents) -> None:
    known = {*found.declared, *(m.name for _, m in found.monitorings)}
    for document, monitoring in found.monitorings:
        if monitoring.model_ref is not None and monitoring.model_ref not in known:
            hint = (
                did_you_mean(monitoring.model_ref, found.declared | {monitoring.name})
                or "remove modelRef to watch a model without ModelSpec"
            )
            found.errors.append(document.refusal(f"modelRef: no model {monitoring.model_ref!r}", ("modelRef",), hint))


def _refuse_overspent(found: Documents) -> None:
    stated = [(d, m.share) for d, m in found.monitorings if m.share is not None]
    total = sum(share for _, share in stated)
    left_out = len(stated) < len(found.monitorings)
    if total > 1 + 1e-9 or (left_out and total > 1 - 1e-9):
        rest = ", and nothing is left for the other models" if left_out else ""
        document = stated[-1][0]
        found.errors.append(
            document.refusal(f"shares of all models add up to {write_percent(total)}{rest}", ("share",), "lower one")
        )


def _assembled(found: Documents) -> Config:
    origins: dict[str, str] = {}
    site_document, site = found.sites[0] if found.sites else (None, Site(store=StoreSpec(path=Path("data").absolute())))
    origins.update(_origins("site", site, site_document))
    specs = {s.name: (d, s) for d, s in found.specs}
    watched = {m.model: (d, m) for d, m in found.monitorings}
    bare = {b.name: b.aliases for _, b in found.bare}
    models: dict[str, Model] = {}
    for name in sorted({*specs, *watched, *bare}):
        spec_document, spec = specs.get(name, (None, None))
        document, monitoring = watched.get(name, (None, None))
        if spec is not None and spec_document is not None:
            origins.update(_places(f"models.{name}.modelspec", spec.as_written(), spec_document))
        if monitoring is not None:
            origins.update(_origins(f"models.{name}", monitoring, document))
            _delay_by_drift(origins, f"models.{name}")
        monitoring, added = promised(name, spec, monitoring, spec_document)
        origins.update({f"models.{name}.{path}": origin for path, origin in added.items()})
        models[name] = Model(name, spec, monitoring, _aliases(spec, monitoring, bare.get(name, ())))
    models = _distinct(models, found.warnings)
    found.warnings += [*unused_fields(found), *second_looks(found, site, models)]
    return Config(site, models, tuple(found.warnings), origins)


def _delay_by_drift(origins: dict[str, str], prefix: str) -> None:
    """Where performance does not say how late labels come, its delay is that of drift, and so is its place."""
    own, given = f"{prefix}.performance.delay", f"{prefix}.drift.labels.delay"
    if origins.get(own) == "default" and given in origins:
        origins[own] = origins[given]


def _aliases(spec: ModelSpec | None, monitoring: Monitoring | None, given: tuple[str, ...]) -> tuple[str, ...]:
    names = dict.fromkeys(given)
    if monitoring is not None:
        names |= dict.fromkeys(monitoring.selector.gateway_models)
    if spec is not None and spec.model_id:
        names[spec.model_id] = None
    return tuple(names)


def _distinct(models: Mapping[str, Model], warnings: list[str]) -> dict[str, Model]:
    """The models without names that would mean two of them; a model's own name always wins."""
    owners: dict[str, set[str]] = {name: {name} for name in models}
    for model in models.values():
        for alias in model.aliases:
            owners.setdefault(alias, set()).add(model.name)
    shared = {alias for alias, names in owners.items() if len(names) > 1}
    for alias in sorted(shared):
        kept = f"it means {alias!r}" if alias in models else "rows under that name stay under it"
        warnings.append(f"the name {alias!r} is claimed by {', '.join(sorted(owners[alias]))}: {kept}")
    return {
        m.name: Model(m.name, m.spec, m.monitoring, tuple(a for a in m.aliases if a not in shared and a != m.name))
        for m in models.values()
    }


def _origins(prefix: str, written: BaseModel, document: Document | None) -> Iterator[tuple[str, str]]:
    """Where each effective value comes from: its place in a file, or `default`."""
    for loc in leaves(written.model_dump(by_alias=True, mode="json")):
        node, known = document.find(loc) if document else (None, ())
        wrote = (
            document is not None and bool(known) and (known[-1] == loc[-1] or (node is not None and node.text != ""))
        )
        path = ".".join(str(part) for part in loc)
        yield f"{prefix}.{path}", document.where(loc) if document is not None and wrote else "default"


def _places(prefix: str, written: Mapping[str, Any], document: Document) -> Iterator[tuple[str, str]]:
    for loc in leaves(written):
        yield ".".join(map(str, (prefix, *loc))), document.where(loc)


def leaves(dumped: Mapping[str, Any], loc: Loc = ()) -> Iterator[Loc]:
    """Paths of the single values (and lists of single values) of plain data, in order; nothing for None."""
    for key, value in dumped.items():
        here: Loc = (*loc, key)
        if isinstance(value, Mapping):
            yield from leaves(value, here)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for i, item in enumerate(value):
                yield from leaves(item, (*here, i))
        elif value is not None and value != []:
            yield here
