"""What a site has pulled: one entry for each target, path or question, with its cadence and credentials.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from collectors import pull
from collectors.credentials import Credentials, Trust
from observe.app import querying

if TYPE_CHECKING:
    from observe.spec.collecting import TargetAuth, TargetTls
    from observe.spec.config import Model

_READ_BY: Final = {"files": "predictions"}  # collector type -> entry point that reads its files; else its own
_FETCHED: Final = ("prometheus", "spendlogs")  # collector types that read addresses


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """One target of one collector."""

    collector: str
    kind: str  # entry-point name of the collector that reads it: prometheus | predictions | labels | …
    target: str
    every: timedelta
    labels: Mapping[str, str]
    model: str | None = None
    timeout_s: float = 10.0  # for the whole answer
    auth: TargetAuth | None = None
    tls: TargetTls | None = None
    question: querying.Question | None = None  # what a Prometheus is asked
    others: tuple[str, ...] = ()  # replicas that say the same

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same when its cadence or labels are changed."""
        asked = f" {self.question.slo_id}" if self.question else ""
        return self.collector, self.kind, f"{self.target}{asked}"

    def get(self) -> bytes:
        """The body of an address, asked for with the credentials as they are now.

        Raises:
            ConfigError: a secret cannot be read.
            SourceError: no answer, or another than 200.
        """
        return pull.get(self.target, self.timeout_s, credentials=credentials(self.auth), trust=trust(self.tls))


def pulls(collectors: Mapping[str, Any], models: Mapping[str, Model] = MappingProxyType({})) -> tuple[Pull, ...]:
    """All pulls a site declares, and what its models ask of a Prometheus; push intakes need none."""
    made = _questions(collectors, models)
    for name, spec in collectors.items():
        every = timedelta(seconds=spec.every_s)
        if spec.type in _FETCHED:
            labels = {**({"model": spec.model} if spec.model else {}), **spec.labels}
            made += [
                Pull(name, spec.type, t, every, labels, None, spec.timeout_s, spec.auth, spec.tls) for t in spec.targets
            ]
        elif spec.type == "nvml":
            made.append(Pull(name, "nvml", "this machine", every, spec.labels))
        elif spec.path:
            made.append(Pull(name, _READ_BY.get(spec.type, spec.type), str(spec.path), every, spec.labels, spec.model))
    return tuple(made)


def _questions(collectors: Mapping[str, Any], models: Mapping[str, Model]) -> list[Pull]:
    """One pull for each SLO that a Prometheus counts."""
    made = []
    for name, question in querying.questions(models):
        spec = collectors.get(name)
        if spec is not None and spec.type == querying.TYPE:
            of = Pull(name, spec.type, spec.targets[0], timedelta(seconds=spec.every_s), spec.labels)
            asked = replace(of, timeout_s=spec.timeout_s, auth=spec.auth, tls=spec.tls, question=question)
            made.append(replace(asked, others=tuple(spec.targets[1:])))
    return made


def credentials(auth: TargetAuth | None) -> Credentials:
    """What a target is shown; a secret that is a file is read each time, so that it may change.

    Raises:
        ConfigError: a secret cannot be read.
    """
    if auth is None:
        return Credentials()
    if auth.bearer is not None:
        return Credentials(bearer=auth.bearer.resolve())
    return Credentials(username=auth.username or "", password=auth.password.resolve() if auth.password else "")


def trust(tls: TargetTls | None) -> Trust:
    """Whom we believe at a target, and as whom we come."""
    return Trust() if tls is None else Trust(tls.ca, tls.cert, tls.key)
