"""An Alertmanager configuration for the generated rules: who is woken, what is grouped, what keeps quiet.

Receivers are named and empty: who is told how is the reader's to fill in. A fault of a GPU keeps the SLO pages of its
cluster quiet, for it is told as a page itself while they fire (`fleetrules`): one page that names the cause. Alertmanager
takes two missing labels for equal ones, so both sides must have the label.

Source: Alertmanager documentation, "Configuration" (routes, inhibition rules).
"""

from __future__ import annotations

from typing import Any

from alerts.rules import UNJUDGED


def config() -> dict[str, Any]:
    """Routes by severity, one notification per service, and inhibition by cause."""
    return {
        "route": {
            "receiver": "observe-ticket",
            "group_by": ["service", "model"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "receiver": "observe-page",
                    "matchers": ['severity="page"'],
                    "group_by": ["service", "model"],
                    "repeat_interval": "4h",
                }
            ],
        },
        "receivers": [{"name": "observe-page"}, {"name": "observe-ticket"}],
        "inhibit_rules": [
            _inhibit(
                ['severity="page"', 'alertname="SloBurn"'], ['severity="ticket"', 'alertname="SloBurn"'], ["slo_id"]
            ),
            _inhibit(
                ['alertname="GpuXid"', 'cluster!=""'],
                ['alertname="SloBurn"', 'severity="page"', 'cluster!=""'],
                ["cluster"],
            ),
            _inhibit(
                ['alertname="GpuXid"', 'severity="page"', 'UUID!=""'],
                ['alertname="GpuXid"', 'severity="ticket"', 'UUID!=""'],
                ["UUID"],
            ),
            _inhibit(['alertname="ObserveDown"'], [f'alertname="{UNJUDGED}"', 'severity="ticket"'], []),
            _inhibit(['alertname="ObserveDown"'], ['alertname="ObserveBehind"'], []),
        ],
    }


def _inhibit(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {"source_matchers": source, "target_matchers": target}
    return {**made, "equal": equal} if equal else made
