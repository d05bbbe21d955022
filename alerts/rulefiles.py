"""Promises become files: rules, Alertmanager's configuration, tests; the same input, the same bytes.

Source: Prometheus rule files and unit tests; PrometheusRule of `monitoring.coreos.com/v1`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from alerts import fleetrules, routes, rules, ruletests
from alerts.promise import Promise
from observe.errors import ConfigError

MADE: Final = "# Made by `observe rules`; do not edit."
_SAFE = re.compile(r"[^a-z0-9._-]+")


class _Writer(yaml.SafeDumper):
    """Writes long texts as blocks, lists indented, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Every value stands where it is used."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their key."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Writer.add_representer(str, _text)


def written(document: Any, header: str) -> str:
    """A document as YAML below its header."""
    body = yaml.dump(
        document, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=4096, default_flow_style=False
    )
    return f"{header}{body}"


def header(digest: str, more: str = "") -> str:
    """What every file begins with."""
    return f"{MADE}\n# inputs sha256:{digest}\n" + (f"# {more}\n" if more else "")


def plain_files(promises: Sequence[Promise], digest: str, site: str | None) -> dict[str, str]:
    """Rule files, tests and Alertmanager's configuration, by path.

    Args:
        promises: all SLOs.
        digest: hash of the inputs.
        site: address of the dashboards, "" when there is none; None without a site.
    """
    head, files = header(digest), dict[str, str]()
    for name, group in by_service(promises).items():
        files[f"rules/{name}.slo.rules.yml"] = written({"groups": [rules.group_of(p) for p in group]}, head)
        tests = [test for promise in group for test in ruletests.tests_of(promise)]
        if tests:
            suite = {"rule_files": [f"../rules/{name}.slo.rules.yml"], "evaluation_interval": "1m", "tests": tests}
            files[f"tests/{name}.test.yml"] = written(suite, head)
    if site is not None:
        files["rules/observe-self.rules.yml"] = written({"groups": fleetrules.groups(site)}, head)
    receivers = header(digest, "put who is told into the receivers")
    files["alertmanager/observe.yml"] = written(routes.config(), receivers)
    return dict(sorted(files.items()))


def operator_files(promises: Sequence[Promise], digest: str, site: str | None) -> dict[str, str]:
    """The same rules as objects for the Prometheus operator."""
    head, files = header(digest), dict[str, str]()
    for name, group in by_service(promises).items():
        files[f"rules/{name}.slo.prometheusrule.yml"] = written(
            _object(object_name(name), [rules.group_of(p) for p in group]), head
        )
    if site is not None:
        files["rules/observe-self.prometheusrule.yml"] = written(_object("observe-self", fleetrules.groups(site)), head)
    return dict(sorted(files.items()))


def object_name(service: str) -> str:
    """What the operator's object with a service's rules is called."""
    return f"{re.sub(r'[^a-z0-9-]+', '-', file_name(service)).strip('-')}-slo"


def file_name(service: str) -> str:
    """What a service's files begin with."""
    return _SAFE.sub("-", service.lower()).strip("-.") or "service"


def _object(named: str, groups: list[dict[str, Any]]) -> dict[str, Any]:
    metadata = {"name": named, "labels": {"app.kubernetes.io/managed-by": "observe"}}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata,
        "spec": {"groups": groups},
    }


def by_service(promises: Sequence[Promise]) -> Mapping[str, list[Promise]]:
    """SLOs by the name of their service's file, in order.

    Raises:
        ConfigError: two services would share a file, or an SLO is there twice.
    """
    found: dict[str, list[Promise]] = defaultdict(list)
    for promise in sorted(promises, key=lambda p: (p.service, p.slo_id)):
        name = file_name(promise.service)
        others = found[name]
        if others and others[0].service != promise.service:
            raise ConfigError(
                f"services {others[0].service!r} and {promise.service!r} would share the file {name}.slo.rules.yml",
                hint=f"rename one; they come from {others[0].origin} and {promise.origin}",
            )
        if any(other.slo_id == promise.slo_id for other in others):
            first = next(o.origin for o in others if o.slo_id == promise.slo_id)
            raise ConfigError(
                f"{promise.origin}: SLO {promise.slo_id!r} is declared twice", hint=f"the first is at {first}"
            )
        others.append(promise)
    return found
