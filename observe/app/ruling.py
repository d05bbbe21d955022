"""What the rules of a site, or of files, are made from: SLOs of ours and of others under one alarm budget.

Source: our own; METHODS section 6, "Gate", for how false alarms are divided.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from alerts import naming, openslo, openslo_written, pyrra, rulefiles, ruletests, scalers, sloth, wording
from alerts.promise import Promise, Sli, left_out, on_ladder
from alerts.reading import Field
from observe.app import countable
from observe.errors import ConfigError
from observe.schema import Monitor
from observe.spec import Config, load, source
from observe.spec.budget import per_year
from observe.spec.config import Model
from observe.spec.monitors import derive
from observe.spec.periods import as_json
from observe.spec.quantity import write_duration
from observe.spec.refusal import together
from observe.spec.site import Site
from observe.spec.slos import STATE_MINUTES, Slo
from observe.spec.source import Document
from observe.spec.theirs import unknown_fields

_EXPORTS: Final[Mapping[str, Callable[[Sequence[Promise], list[str]], list[dict[str, Any]]]]] = {
    "openslo": openslo_written.documents, "sloth": sloth.documents, "pyrra": pyrra.documents,
}  # fmt: skip

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/-]*")


@dataclass(frozen=True, slots=True)
class Ruled:
    """Files by their path below the output folder, and what deserves to be told."""

    files: Mapping[str, str]
    notes: tuple[str, ...]
    promises: tuple[Promise, ...]


@dataclass(slots=True)
class _Sorted:
    """Files and documents by whose they are."""

    ours: list[Path] = field(default_factory=list)
    theirs: list[Document] = field(default_factory=list)
    errors: list[ConfigError] = field(default_factory=list)


def ruled(files: Sequence[Path], site: Path | None, form: str, phi: Mapping[str, float], dialect: str = "") -> Ruled:
    """The files that rules are.

    Args:
        files: further files or folders: Monitoring, OpenSLO v1, Sloth, Pyrra.
        site: the site's configuration; None without one.
        form: what is written: prometheus, prometheusrule, openslo, sloth, pyrra or scalers.
        phi: burst factors that were learnt, by slo_id.
        dialect: whose dashboards are to read the recordings, too: sloth, pyrra or "".

    Raises:
        ConfigError: a file or an SLO cannot be kept; with several, all of them at once.
    """
    sorted_, notes = _sort(files), list[str]()
    config = load(site, sorted_.ours) if site is not None or sorted_.ours else Config(Site())
    notes += config.warnings
    if form == "scalers":
        return Ruled(_scalers(config, notes), tuple(notes), ())
    foreign = list(_foreign(sorted_, notes))
    promises = _budgeted(config, list(_own(config, sorted_)), foreign, phi)
    promises = tuple(replace(promise, dialect=dialect) for promise in promises)
    sorted_.errors += [_misnamed(p) for p in promises if not _NAME.fullmatch(p.slo_id)]
    sorted_.errors += [_refused(p) for p in promises if p.tiers and not p.usable]
    sorted_.errors += [*naming.twice(promises), *(said for p in promises for said in naming.labels(p))]
    sorted_.errors += naming.of_objects(promises, form)
    if sorted_.errors:
        raise together(sorted_.errors)
    if not promises:
        raise ConfigError(
            "no SLO is declared in these files", hint="slos: of a Monitoring, or OpenSLO, Sloth or Pyrra files"
        )
    if site is not None and config.site.alerts.mode == "push":
        notes.append(
            "alerts.mode is push: the service tells of alerts, too; with these rules write alerts: {mode: rules}"
        )
    notes += [said for promise in promises if not promise.judged for said in left_out(promise)]  # of ours `load` tells
    home = str(config.site.alerts.dashboard_url or "") if site is not None else None
    return Ruled(_files(promises, form, home, notes), tuple(notes), promises)


def _scalers(config: Config, notes: list[str]) -> Mapping[str, str]:
    made = scalers.files(config, notes)
    if not made:
        raise ConfigError(
            f"nothing to scale: no ModelSpec of {', '.join(sorted(config.models)) or 'any model'} says how many replicas there may be",
            hint="in the ModelSpec: operations: {scaling: {minReplicas: 1, maxReplicas: 4}}",
        )
    return made


def is_made(text: str) -> bool:
    """Whether a file's text was made by us."""
    return text.startswith(rulefiles.MADE)


def _files(promises: Sequence[Promise], form: str, home: str | None, notes: list[str]) -> Mapping[str, str]:
    digest = _digest(promises, form, home)
    if form in {"prometheus", "prometheusrule"}:
        notes += [
            f"{p.origin}: no budget of {p.slo_id} is recorded over {p.over}: PromQL knows no local midnight; "
            f"its alarms go by {write_duration(p.window_s)}"
            for p in promises
            if p.calendar and not p.judged
        ]
    if form == "prometheus":
        notes += [
            f"{p.origin}: no tests are made of {p.slo_id}: {ruletests.WHY}"
            for p in promises
            if not ruletests.tests_of(p)
        ]
        return rulefiles.plain_files(promises, digest, home)
    if form == "prometheusrule":
        return rulefiles.operator_files(promises, digest, home)
    head, files = rulefiles.header(digest), dict[str, str]()
    for service, group in rulefiles.by_service(promises).items():
        documents = _EXPORTS[form](group, notes)
        if documents:
            files[f"{service}.{form}.yml"] = "---\n".join(
                rulefiles.written(document, head if i == 0 else "") for i, document in enumerate(documents)
            )
    return files


def _digest(promises: Sequence[Promise], form: str, home: str | None) -> str:
    """Hash of all that the files are made from, where it is written left out: a comment changes nothing."""
    effective = [repr(replace(p, origin="")) for p in sorted(promises, key=lambda p: p.slo_id)]
    return sha256("\n".join((version("observe"), form, repr(home), *effective)).encode()).hexdigest()


def _sort(files: Sequence[Path]) -> _Sorted:
    found = _Sorted()
    for path in [p for given in files for p in _each(given)]:
        reading = source.read(path)
        theirs = [d for d in reading.documents if _theirs(d)]
        if len(theirs) == len(reading.documents) and theirs:
            found.errors += reading.errors
            found.theirs += theirs
        else:
            found.ours.append(path)
            if theirs:
                hint = "split the file"
                found.errors.append(theirs[0].refusal("a document of another format beside our own", (), hint))
    return found


def _each(given: Path) -> list[Path]:
    if not given.is_dir():
        return [given]
    return sorted(p for p in given.rglob("*") if p.suffix in {".yaml", ".yml"} and p.is_file())


def _theirs(document: Document) -> bool:
    version_ = document.root.child("version")
    api = document.root.child("apiVersion")
    return (version_ is not None and version_.text.startswith("prometheus/")) or (
        api is not None and api.text.startswith(("openslo", "pyrra.dev/", "sloth.slok.dev/"))
    )


def _foreign(found: _Sorted, notes: list[str]) -> Iterator[Promise]:
    """SLOs of others; what is wrong with one keeps none of the rest from being read."""
    roots = [Field(document, (), notes) for document in found.theirs]
    try:
        known = openslo.objects([r for r in roots if r("apiVersion").text() == openslo.VERSION])
    except ConfigError as error:
        found.errors.append(error)
        return
    for root in roots:
        try:
            yield from _of_document(root, known, found.errors)
        except ConfigError as error:
            found.errors.append(error)


def _of_document(root: Field, known: openslo.Objects, errors: list[ConfigError]) -> Iterator[Promise]:
    api, kind = root("apiVersion").text(root("version").text()), root("kind").text()
    if api == sloth.VERSION:
        _tell_unknown(root, sloth.FIELDS, api, errors)
        yield from sloth.promises(root)
    elif api == pyrra.VERSION and kind == pyrra.KIND:
        _tell_unknown(root, pyrra.FIELDS, api, errors)
        yield pyrra.promise(root)
    elif api == openslo.VERSION and (kind == "SLO" or kind in openslo.REFERRED):
        if kind in openslo.FIELDS:
            _tell_unknown(root, openslo.FIELDS[kind], api, errors)
        if kind in {"Service", "AlertNotificationTarget"}:
            root("kind").note(f"a {kind} is not kept: its name is enough")
        if kind == "SLO":
            yield from openslo.promises(root, known)
    else:
        hint = f"read are {openslo.VERSION}, {sloth.VERSION}, {pyrra.VERSION} {pyrra.KIND}"
        raise root("apiVersion" if root("apiVersion").given else "version").refused(f"{api} {kind} is not read", hint)


def _tell_unknown(root: Field, known: Mapping[str, Any], api: str, errors: list[ConfigError]) -> None:
    refused, warnings = unknown_fields(root.document, known, api)
    errors += refused
    root.notes.extend(warnings)


def _own(config: Config, found: _Sorted) -> Iterator[Promise]:
    """SLOs that the service judges, with what Prometheus can see of them."""
    monitors = {m.monitor_id: m for m in derive(config, {}) if m.detector == "burn"}
    for model in config.models.values():
        for i, slo in enumerate(model.monitoring.slos if model.monitoring else ()):
            place = f"models.{model.name}.slos.{i}"
            try:
                sli = countable.counted(slo, config.origins.get(f"{place}.prometheus.total", ""))
            except ConfigError as error:
                found.errors.append(error)
                continue
            origin = config.origins.get(f"{place}.name", "")
            yield _promise(config, model, slo, monitors[f"{model.name}/burn/{slo.name}"], (sli, origin))


def _promise(config: Config, model: Model, slo: Slo, monitor: Monitor, seen: tuple[Sli | None, str]) -> Promise:
    labels = {
        **(model.monitoring.metadata.labels if model.monitoring else {}),
        **(model.spec.labels if model.spec else {}),
    }
    home = config.site.alerts.dashboard_url
    links = {
        "runbook_url": model.spec.annotations.get("runbook", "") if model.spec else "",
        "dashboard_url": wording.slo_url(home, f"{model.name}.{slo.name}"),
    }
    window = as_json(slo.window)
    calendar = {"unit": window["unit"], "time_zone": window["time_zone"]} if window["kind"] == "calendar" else {}
    slos = model.monitoring.slos if model.monitoring else ()
    counted = slo.counted(slos).removesuffix("s")
    where = wording.clusters(model.name, config)
    return Promise(
        slo_id=f"{model.name}.{slo.name}", labels={"": {"cluster": where[0]}} if len(where) == 1 else {}, service=labels.get("service", model.name), name=slo.name,
        objective=slo.objective, window_s=slo.window_s, sli=seen[0], judged=f"{slo.says}, by {counted}", calendar=calendar,
        owner=labels.get("owner", labels.get("team", "")), origin=seen[1],
        alpha={"page": monitor.params["alpha_per_year"], "ticket": monitor.params["ticket_alpha_per_year"]},
        annotations={"": {name: text for name, text in links.items() if text}}, tickets_only=slo.of_minutes(slos),
    )  # fmt: skip


def _budgeted(
    config: Config, ours: list[Promise], foreign: list[Promise], phi: Mapping[str, float]
) -> tuple[Promise, ...]:
    """All SLOs with their share of the false alarms; those of others are streams like any other."""
    n, part = len(ours) + len(foreign), config.site.shares["slo"]
    yearly = {severity: per_year(rate) * part for severity, rate in config.site.false_alarms.items()}
    shared = [replace(p, alpha={s: a * len(ours) / n for s, a in p.alpha.items()}) for p in ours]
    shared += [replace(p, alpha={s: a / n for s, a in yearly.items()}) for p in foreign]
    return tuple(replace(p, phi=_phi(p, phi.get(p.slo_id))) for p in sorted(shared, key=lambda p: p.slo_id))


def _phi(promise: Promise, learnt: float | None) -> float:
    """The burst factor that is written into rules; minutes of one bad state are one event."""
    by_time = promise.tickets_only or (promise.sli is not None and promise.sli.by_time)
    return max(on_ladder(learnt), STATE_MINUTES if by_time else 1.0)


def _misnamed(promise: Promise) -> ConfigError:
    said = (
        f"{promise.origin}: {promise.slo_id!r} cannot name an SLO: it becomes a label, part of expressions and a file"
    )
    return ConfigError(said, hint="letters, digits, spaces and ._:/-")


def _refused(promise: Promise) -> ConfigError:
    said = f"{promise.origin}: {promise.slo_id} can never alarm: even a total outage burns too slowly for every tier"
    return ConfigError(
        said, hint="raise the objective or shorten the window: a tier fires only when factor x (1 - objective) < 1"
    )
