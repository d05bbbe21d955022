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
from observe.spec import modelspec, source, theirs
from observe.spec.fields import Tree, tree
from observe.spec.modelspec import ModelSpec
from observe.spec.monitoring import Monitoring
from observe.spec.nearest import did_you_mean
from observe.spec.refusal import refusals
from observe.spec.site import Site
from observe.spec.source import Document
from observe.spec.written import FromFile, Name, Names, Written

OURS: Final = "observe/v1"
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Site": (OURS,), "Monitoring": (OURS,), "ModelSpec": modelspec.API_VERSIONS,
}  # kind -> its apiVersions; the first is the one to write  # fmt: skip
_FIELDS: Final[Mapping[str, Tree]] = {"Site": tree(Site), "Monitoring": tree(Monitoring), "ModelSpec": modelspec.FIELDS}
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
        reading = source.read(path)
        self.errors += reading.errors
        for document in reading.documents:
            self.add(document)

    def add(self, document: Document) -> None:
        """Sort one document; of one whose YAML is broken only the name counts."""
        if document.errors:
            self._declare(document)
        else:
            self._sort(document)

    def _sort(self, document: Document) -> None:
        kind, version = document.root.child("kind"), document.root.child("apiVersion")
        if kind is None and version is None and document.root.child("name") is not None:
            self._keep(document, BareModel, self._add_bare)
        elif version is not None and version.text.startswith("openslo/"):
            self.warnings.append(
                f"{document.where(())}: {version.text} is not judged by the service: `observe rules FILE` makes rules of it; or declare it under slos: of a Monitoring"
            )
        elif kind is None or version is None:
            missing = "kind" if kind is None else "apiVersion"
            self.errors.append(document.refusal(f"missing field {missing!r}", (), _START))
        elif kind.text not in KINDS:
            self.errors.append(
                document.refusal(f"unknown kind {kind.text!r}", ("kind",), did_you_mean(kind.text, KINDS))
            )
        elif version.text not in KINDS[kind.text]:
            wanted = f"write {KINDS[kind.text][0]}"
            self.errors.append(
                document.refusal(f"{kind.text} has no apiVersion {version.text!r}", ("apiVersion",), wanted)
            )
            self._declare(document)
        else:
            self._take(document, kind.text)

    def _take(self, document: Document, kind: str) -> None:
        if kind == "Site":
            self._keep(document, Site, lambda d, site: self.sites.append((d, site)))
        elif kind == "Monitoring":
            self._keep(document, Monitoring, lambda d, monitoring: self.monitorings.append((d, monitoring)))
        else:
            errors, warnings = theirs.unknown_fields(document, modelspec.FIELDS, modelspec.API_VERSION)
            self.errors += errors
            self.warnings += warnings
            self._keep(document, ModelSpec, self._add_spec)

    def _keep(self, document: Document, model: type[_W], add: Callable[[Document, _W], None]) -> None:
        data = document.root.plain() if model is not ModelSpec else theirs.leaves_as_nodes(document.root)
        if model is not BareModel:
            data = {name: value for name, value in data.items() if name not in {"apiVersion", "kind"}}
        if model is Site:
            data.setdefault("store", {})  # so that the default path, too, starts from the file's folder
        context = FromFile(document.folder, document.mark)
        try:
            add(document, model.model_validate(data, by_alias=True, by_name=False, context=context))
        except ValidationError as error:
            self.errors += refusals(document, error, model, _FIELDS)
            self._declare(document)

    def _add_bare(self, document: Document, bare: BareModel) -> None:
        self.declared.add(bare.name)
        self.bare.append((document, bare))

    def _add_spec(self, document: Document, spec: ModelSpec) -> None:
        self.declared.add(spec.name)
        self.specs.append((document, spec))

    def _declare(self, document: Document) -> None:
        """Keep the name of a model that failed, so that nothing else is blamed for its absence."""
        node = document.find(("metadata", "name"))[0]
        kind = document.root.child("kind")
        if node.text and kind is not None and kind.text == "ModelSpec":
            self.declared.add(node.text)
