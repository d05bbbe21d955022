"""Documents of a configuration, told apart by apiVersion and kind, and validated one by one.

Source: our own; ModelSpec is ParallelIQ's (`observe.spec.modelspec`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from observe.errors import ConfigError
from observe.spec import modelspec, source
from observe.spec.modelspec import ModelSpec
from observe.spec.monitoring import Monitoring
from observe.spec.nearest import did_you_mean
from observe.spec.refusal import refusals
from observe.spec.site import Site
from observe.spec.source import Document
from observe.spec.written import NAME, FromFile, Name, Names, Written

OURS: Final = "observe/v1"
KINDS: Final[Mapping[str, str]] = {"Site": OURS, "Monitoring": OURS, "ModelSpec": modelspec.API_VERSION}
_START: Final = (
    "apiVersion: observe/v1 with kind: Site or Monitoring, piqc.ai/v1alpha1 with kind: ModelSpec, or a bare {name: x}"
)
_W = TypeVar("_W", bound=Written)


class BareModel(Written):
    """A model known by name only."""

    name: Name
    aliases: Names = ()


@dataclass(slots=True)
class Documents:
    """What has been read so far, valid documents by kind with the place they come from, and what was wrong."""

    sites: list[tuple[Document, Site]] = field(default_factory=list)
    specs: list[tuple[Document, ModelSpec]] = field(default_factory=list)
    bare: list[tuple[Document, BareModel]] = field(default_factory=list)
    monitorings: list[tuple[Document, Monitoring]] = field(default_factory=list)
    declared: set[str] = field(default_factory=set)  # names of models, also of those that failed
    errors: list[ConfigError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _seen: set[Path] = field(default_factory=set)

    def add_file(self, path: Path) -> None:
        """Read and sort one file; a file met twice counts once."""
        if path.resolve() in self._seen:
            return
        self._seen.add(path.resolve())
        try:
            for document in source.read(path):
                self._sort(document)
        except ConfigError as error:
            self.errors.append(error)

    def _sort(self, document: Document) -> None:
        kind, version = document.root.child("kind"), document.root.child("apiVersion")
        if kind is None and version is None and document.root.child("name") is not None:
            self._keep(document, BareModel, self._add_bare)
        elif version is not None and version.text.startswith("openslo/"):
            self.warnings.append(
                f"{document.where(())}: {version.text} is not read; declare it under slos: of a Monitoring"
            )
        elif kind is None or version is None:
            missing = "kind" if kind is None else "apiVersion"
            self.errors.append(document.refusal(f"missing field {missing!r}", (), _START))
        elif kind.text not in KINDS:
            self.errors.append(
                document.refusal(f"unknown kind {kind.text!r}", ("kind",), did_you_mean(kind.text, KINDS))
            )
        elif version.text != KINDS[kind.text]:
            wanted = KINDS[kind.text]
            self.errors.append(
                document.refusal(f"{kind.text} has no apiVersion {version.text!r}", ("apiVersion",), f"write {wanted}")
            )
        else:
            self._take(document, kind.text)

    def _take(self, document: Document, kind: str) -> None:
        if kind == "Site":
            self._keep(document, Site, lambda d, site: self.sites.append((d, site)))
        elif kind == "Monitoring":
            self._keep(document, Monitoring, lambda d, monitoring: self.monitorings.append((d, monitoring)))
        else:
            self._take_spec(document)

    def _keep(self, document: Document, model: type[_W], add: Callable[[Document, _W], None]) -> None:
        data = document.root.plain()
        if model is not BareModel:
            del data["apiVersion"], data["kind"]
        if model is Site:
            data.setdefault("store", {})  # so that the default path, too, starts from the file's folder
        try:
            add(document, model.model_validate(data, by_alias=True, by_name=False, context=FromFile(document.folder)))
        except ValidationError as error:
            self.errors += refusals(document, error, model)

    def _add_bare(self, document: Document, bare: BareModel) -> None:
        self.declared.add(bare.name)
        self.bare.append((document, bare))

    def _take_spec(self, document: Document) -> None:
        errors, warnings = modelspec.unknown_fields(document)
        self.errors += errors
        self.warnings += warnings
        try:
            spec = modelspec.read(document)
            if not NAME.fullmatch(spec.name):
                raise _unnamed(document, spec.name)
        except ConfigError as error:
            self.errors.append(error)
            metadata = document.root.child("metadata")
            name = metadata.child("name") if metadata else None
            self.declared |= {name.text} if name else set()
            return
        self.declared.add(spec.name)
        self.specs.append((document, spec))


def _unnamed(document: Document, name: str) -> ConfigError:
    if not name:
        return document.refusal("missing field 'name'", ("metadata",), "metadata: {name: my-model}")
    hint = "lower-case letters, digits, '.', '_', '-'; at most 63, starting with a letter or digit"
    return document.refusal(f"{name!r} is not a name", ("metadata", "name"), hint)
