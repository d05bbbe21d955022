"""Whom a site lets act: the targets that may be asked to scale or train, and under which rules.

Nothing is ever sent unless a target is declared here and `actions: {mode: live}` (or the rule) says so.

Source: our own (`observe/v1`, `targets:` and `actions:` of kind `Site`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, StrictInt, model_validator

from observe.spec.nearest import did_you_mean
from observe.spec.quantity import Malformed
from observe.spec.written import Address, AnyPath, Duration, Secret, Written, travels_in_clear

if TYPE_CHECKING:
    from observe.spec.config import Model
    from observe.spec.monitoring import ActionRule
    from observe.spec.site import Site

GROUP: Final = "observe.actions"
PER_DAY: Final = 6  # actions of one model that are sent within a day, at most
LONGEST_S: Final = 30.0  # of one request
_NEEDS: Final[Mapping[str, Mapping[str, str]]] = {  # by type: what it cannot do without, and how that is written
    "webhook": {"url": '"https://ops.example.com/actions"', "secret": "env:ACTIONS_SECRET"},
    "cloudevents": {"url": '"https://broker.example.com/default"'},
    "airflow": {"url": '"https://airflow.example.com"'},
    "kubeflow": {"url": '"https://kubeflow.example.com/pipeline"'},
    "argo-events": {"url": '"https://events.example.com/retrain"'},
    "mlflow": {"url": '"https://mlflow.example.com"'},
}


def _type(value: Any) -> Any:
    plugged = {e.name for e in entry_points(group=GROUP)}
    if isinstance(value, str) and value not in plugged:
        raise Malformed(f"unknown type of target {value!r}", did_you_mean(value, plugged))
    return value


class TargetSpec(Written):
    """Somebody who can be asked to act: a type, and what that type needs."""

    type: Annotated[str, BeforeValidator(_type)]
    url: Address | None = None
    token: Secret | None = None
    username: str | None = None
    password: Secret | None = None
    secret: Secret | None = None
    ca: AnyPath | None = None
    cert: AnyPath | None = None
    key: AnyPath | None = None
    options: Mapping[str, str] = Field(default_factory=dict, alias="with")
    timeout_s: Duration = Field(default=10.0, alias="timeout", gt=0)
    done_within_s: Duration | None = Field(default=None, alias="doneWithin", gt=0)
    approvers: Literal["operator", "admin"] = "operator"
    per_day: StrictInt | None = Field(default=None, alias="perDay", ge=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        missing = {n: shown for n, shown in _NEEDS.get(self.type, {}).items() if getattr(self, n) is None}
        if missing:
            hint = ", ".join(f"{name}: {shown}" for name, shown in missing.items())
            raise Malformed(f"a target of type {self.type} needs {' and '.join(missing)}", hint)
        if self.timeout_s > LONGEST_S:
            raise Malformed(
                "a target that may hang so long holds up the next action", "timeout: at most 30s", ("timeout",)
            )
        if (self.username is None) != (self.password is None):
            raise Malformed("username and password go together", "username: observe, password: env:AIRFLOW_PASSWORD")
        if (self.cert is None) != (self.key is None):
            raise Malformed("cert and key go together", "cert: client.pem, key: client.key")
        if self.token is not None and self.password is not None:
            raise Malformed("a target takes a token, or a user and a password, not both", "token: env:AIRFLOW_TOKEN")
        return self

    @model_validator(mode="after")
    def _in_clear(self) -> Self:
        if self.password is not None and travels_in_clear(self.url or ""):
            raise Malformed("the password would travel in clear", "https://…, or a server on this machine", ("url",))
        return self


class ActionsSpec(Written):
    """Whether anything is done at all, and how much in a day."""

    mode: Literal["dry-run", "live", "off"] = "dry-run"
    per_day: StrictInt = Field(default=PER_DAY, alias="perDay", ge=1)


@dataclass(frozen=True, slots=True)
class Target:
    """A declared target, and what a rule asks of it."""

    name: str
    what: str  # after the colon of the rule's target: a deployment, a DAG, a pipeline
    spec: TargetSpec


def target_of(site: Site, written: str) -> Target | None:
    """The declared target that `airflow:retrain_chat` means: of that name, else the only one of that type.

    Args:
        site: what is declared.
        written: as a rule has it.
    """
    who, _, what = written.partition(":")
    if who in site.targets:
        return Target(who, what, site.targets[who])
    of_type = [name for name, spec in site.targets.items() if spec.type == who]
    return Target(of_type[0], what, site.targets[of_type[0]]) if len(of_type) == 1 else None


def is_live(site: Site, rule: ActionRule) -> bool:
    """Whether what the rule proposes may be sent: the site does not say `off`, rule or site say `live`, the target is declared."""
    mode = site.actions.mode if site.actions.mode == "off" else rule.mode or site.actions.mode
    return mode == "live" and target_of(site, rule.target) is not None


def undeclared(site: Site, models: Mapping[str, Model]) -> Iterator[str]:
    """Who is named by rules that are not live and has no target: nothing is missing until they are to be."""
    rules = [rule for model in models.values() for rule in (model.monitoring.actions if model.monitoring else ())]
    dry = [r for r in rules if (r.mode or site.actions.mode) != "live" and target_of(site, r.target) is None]
    if names := sorted({r.target.partition(":")[0] for r in dry}):
        yield (
            f"actions name {', '.join(names)}, but targets: of the site declares no single one so called or of that type; "
            "until it does they are dry runs: proposed, never sent"
        )


def second_looks(site: Site, models: Mapping[str, Model]) -> Iterator[str]:
    """Tokens that travel in clear, and rules that say live and can never be."""
    for name, spec in site.targets.items():
        if spec.token is not None and travels_in_clear(spec.url or ""):
            yield f"target {name!r}: its token travels in clear to {spec.url}; write https://… where it is served"
    for name, model in models.items():
        for rule in model.monitoring.actions if model.monitoring else ():
            wanted = rule.mode == "live" or (site.actions.mode == "live" and rule.mode is None)
            if not wanted or target_of(site, rule.target) is not None:
                continue
            who = rule.target.partition(":")[0]
            found = sum(spec.type == who for spec in site.targets.values())
            why = f"{found} targets are of that type: name one of them" if found else "no such target is declared"
            yield f"model {name!r}: {rule.do} with {rule.target!r} stays a dry run; {why}"
