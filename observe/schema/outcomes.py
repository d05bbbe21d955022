"""The nouns that our stages write: summaries, findings, alerts, incidents, actions, commands, deliveries, reports.

Source: our own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Literal

from observe.schema.table import Json, Noun

Severity = Literal["page", "ticket", "inform"]
OWN_LEVELS: Final = 8  # largest levels of a categorical feature whose share is watched one by one


@dataclass(frozen=True, slots=True)
class Binning(Noun):
    """Immutable, versioned bins of one feature; every Summary names the one it was counted with."""

    table_name, time, ids = "binning", "made_at", ("binning_id",)
    binning_id: Annotated[str, "<model>/<source>/<feature>@<version>"]
    model: Annotated[str, "model it belongs to"]
    source_table: Annotated[str, "attempts | predictions"]
    feature: Annotated[str, "feature or column"]
    kind: Annotated[str, "numeric | categorical | pair"]
    version: Annotated[int, "1, 2, ..."]
    edges: Annotated[
        tuple[float, ...] | None, "inner edges e1 < e2 < ...; bin k holds e_k <= x < e_(k+1), K = len + 1 bins"
    ]
    levels: Annotated[
        tuple[str, ...] | None,
        "categorical: one bin a level, then one bin for every other value; pair: its two features",
    ]
    reference: Annotated[tuple[int, ...], "counts of the reference, one per bin"]
    quantiles: Annotated[tuple[float, ...] | None, "numeric: 101 reference percentiles 0..100, in user units"]
    reference_from: Annotated[datetime | None, "start of the reference period"]
    reference_to: Annotated[datetime | None, "end of the reference period"]
    made_at: Annotated[datetime, "event time at which it was made"]


@dataclass(frozen=True, slots=True)
class Summary(Noun):
    """Sufficient statistics of one measure in one window; mergeable by addition, no rows."""

    table_name, bulk, ids = "summary", True, ()
    ts: Annotated[datetime, "start of the window"]
    window_s: Annotated[int, "length of the window, s"]
    measure: Annotated[str, "<model>/<source>/<name>: a feature, an SLO, a device group"]
    model: Annotated[str, "model, or site"]
    binning_id: Annotated[str | None, "bins that `counts` uses"]
    n: Annotated[int, "rows with a value, or total events of a rate"]
    events: Annotated[int | None, "bad events of a rate"]
    counts: Annotated[tuple[int, ...] | None, "rows per bin"]
    missing: Annotated[int, "rows without a value"]
    nan: Annotated[int, "NaN values"]
    inf: Annotated[int, "infinite values"]
    zero: Annotated[int, "zero values"]
    low: Annotated[float | None, "smallest finite value"]
    high: Annotated[float | None, "largest finite value"]
    value_sum: Annotated[float | None, "sum of values, or of products of two scores"]
    late: Annotated[bool, "a delta that came after the window was closed; shown, never re-judged"]
    ingested_at: Annotated[datetime, "when it was stored"]


@dataclass(frozen=True, slots=True)
class Monitor:
    """One question on a schedule, derived from a model's Monitoring and the site's budget.

    `threshold_nats` is the evidence an alarm needs: ln(W / (B * share)), METHODS section 1.4.
    """

    monitor_id: str  # "<model>/<detector>/<measure name>[/<score>]"
    model: str
    detector: str  # entry point in `observe.detectors`: level | rate | burn | silence | imbalance | gauge | straggler
    measure: str  # the Summary.measure it reads; empty when it reads another frame
    feature: str  # user's name of what is watched
    score: str  # location | spread | third | fourth | share:<level> | pair | missing | unseen | error | slo | ...
    window_s: int  # cadence at which it is judged, s
    severity: Severity
    threshold_nats: float
    share: float  # of the site's budget for `severity`
    min_effect: float | None = None  # in `unit`
    unit: str = ""
    params: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding(Noun):
    """What a detector saw in one window of one monitor; stored also when quiet."""

    table_name, time, ids = "finding", "window_end", ("finding_id",)
    finding_id: Annotated[str, "fnd-<hash of monitor and window>: the same window gives the same id"]
    monitor_id: Annotated[str, "monitor that asked"]
    detector: Annotated[str, "entry-point name"]
    model: Annotated[str, "model, or site"]
    kind: Annotated[str, "drift | performance | skew | slo | silence | imbalance | gpu | queue | canary"]
    subject: Annotated[str, "feature, SLO, device group, source"]
    window_start: Annotated[datetime, "start of the judged window"]
    window_end: Annotated[datetime, "end of the judged window"]
    state: Annotated[str, "ok | alarm | learning | not_identifiable | inform_only | too_few | unknown | expected"]
    severity: Annotated[Severity, "what an alarm of this finding may become"]
    evidence_nats: Annotated[float | None, "log evidence for a change; NULL for a counted fact"]
    threshold_nats: Annotated[float | None, "evidence an alarm needs"]
    effect: Annotated[float | None, "size of the change, in `unit`"]
    unit: Annotated[str | None, "sigma | % | pp | x budget | ratio | s | correlation"]
    ci_low: Annotated[float | None, "95 % interval of the effect"]
    ci_high: Annotated[float | None, "95 % interval of the effect"]
    onset: Annotated[datetime | None, "most likely start of the change"]
    onset_low: Annotated[datetime | None, "earliest plausible start"]
    onset_high: Annotated[datetime | None, "latest plausible start"]
    n: Annotated[int | None, "rows or events judged in the window"]
    note: Annotated[str, "one line a person can read"]
    details: Annotated[Json, "numbers of this detector, as JSON"]
    made_at: Annotated[datetime, "when it was judged"]


@dataclass(frozen=True, slots=True)
class Alert(Noun):
    """A finding that spent budget and must reach someone; one row per state change, the view shows the last."""

    table_name, time, ids = "alert", "changed_at", ("alert_id", "changed_at")
    alert_id: Annotated[str, "alr-<hash>: stable over the life of one alarm"]
    key: Annotated[str, "monitor_id: what stays the same between alarms"]
    incident_id: Annotated[str, "incident it belongs to"]
    finding_id: Annotated[str, "finding that raised or resolved it"]
    model: Annotated[str, "model, or site"]
    kind: Annotated[str, "see finding"]
    subject: Annotated[str, "see finding"]
    severity: Annotated[Severity, "page | ticket | inform"]
    state: Annotated[str, "firing | resolved"]
    starts_at: Annotated[datetime, "when it first fired; never changes"]
    ends_at: Annotated[datetime | None, "when it resolved"]
    summary: Annotated[str, "one line"]
    labels: Annotated[Json, "for Alertmanager: strings only, no numbers"]
    annotations: Annotated[Json, "for Alertmanager"]
    changed_at: Annotated[datetime, "when this row was written"]


@dataclass(frozen=True, slots=True)
class Incident(Noun):
    """Alerts and changes that belong together; one row per change, the view shows the last."""

    table_name, time, ids = "incident", "changed_at", ("incident_id", "changed_at")
    incident_id: Annotated[str, "inc-<hash>"]
    kind: Annotated[str, "of its first alert: drift | performance | skew | slo | silence | imbalance | canary"]
    model: Annotated[str, "model, or site"]
    severity: Annotated[Severity, "worst of its alerts"]
    state: Annotated[str, "open | resolved"]
    since: Annotated[datetime, "most likely onset of what it reports"]
    opened_at: Annotated[datetime, "when it was first notified"]
    resolved_at: Annotated[datetime | None, "when it ended"]
    summary: Annotated[str, "what, how much"]
    effect: Annotated[float | None, "size, in `unit`"]
    unit: Annotated[str | None, "see finding"]
    ci_low: Annotated[float | None, "95 % interval of the effect"]
    ci_high: Annotated[float | None, "95 % interval of the effect"]
    evidence_nats: Annotated[float | None, "strength of the strongest alert"]
    cause: Annotated[
        Json | None,
        "the first cause of its explanation, before that the signal with the nearest onset: kind, subject, onset, note; NULL when none is clear",
    ]
    alerts: Annotated[tuple[str, ...], "alert ids"]
    suggestion: Annotated[str | None, "what to do"]
    changed_at: Annotated[datetime, "when this row was written"]
    models: Annotated[
        tuple[str, ...] | None, "all models of an incident that has parts, its own first; NULL when it has none"
    ] = None
    about: Annotated[
        Json | None,
        "the sick thing it is about: kind (gpu, node, provider, cluster, change, model), name, says; NULL when none is known",
    ] = None
    part_of: Annotated[
        str | None, "incident that it is told in, as both have the same sick thing; its alerts count there"
    ] = None


@dataclass(frozen=True, slots=True)
class Action(Noun):
    """A change to a loop, from its proposal to its outcome; one row per step, the view shows the last."""

    table_name, time, ids = "action", "changed_at", ("action_id", "changed_at")
    action_id: Annotated[str, "act-<key>"]
    incident_id: Annotated[str, "incident that asked for it"]
    model: Annotated[str, "model it concerns"]
    kind: Annotated[str, "scale | retrain | rollback | hold"]
    target: Annotated[str, "e.g. keda:vllm-chat"]
    mode: Annotated[str, "dry_run (nothing is sent) | approval (a person agrees first) | auto"]
    state: Annotated[str, "proposed | approved | denied | sent | acknowledged | succeeded | failed | expired"]
    reason: Annotated[str, "why, one line"]
    parameters: Annotated[Json, "e.g. replicas from and to"]
    expires_at: Annotated[datetime, "after this it is not done any more"]
    changed_at: Annotated[datetime, "when this row was written"]
    key: Annotated[str | None, "idempotency key that receivers get: uuid5 of model, monitor and incident"] = None
    approved_by: Annotated[str | None, "who approved or denied it: a token's name, or `rule`"] = None
    attempts: Annotated[int | None, "tries to send it so far"] = None
    error: Annotated[str | None, "why it was not taken, is held, was denied or failed"] = None
    receipt: Annotated[Json | None, "what the target said: taken, status, remote_id, text, url, done"] = None
    outcome: Annotated[
        Json | None,
        "what became of the target metric: metric, before, after, effect, ci_low, ci_high, unit, verdict (helped | no change | worse | unknown), text",
    ] = None


@dataclass(frozen=True, slots=True)
class Command(Noun):
    """What a person did; appended before it acts, and the audit row at once."""

    table_name, ids = "command", ("command_id",)
    ts: Annotated[datetime, "when"]
    command_id: Annotated[str, "cmd-<random>"]
    actor: Annotated[str, "token name"]
    role: Annotated[str, "viewer | ingest | operator | admin"]
    verb: Annotated[
        str,
        "acknowledge | mute | unmute | approve | deny | close_breaker | accept_normal | false_alarm | note | token | rotate_token | revoke_token | reload | backup | report",
    ]
    object: Annotated[str, "incident, action or monitor id; of a mute also a model or *; files of a reload"]
    reason: Annotated[str | None, "why, in their words"]
    parameters: Annotated[Json, "e.g. until"]
    chain: Annotated[str, "sha256 over this row and the previous row's chain"]


@dataclass(frozen=True, slots=True)
class Delivery(Noun):
    """Where one message to one receiver stands after its newest try; one row per try that changed something."""

    table_name, time, ids = "delivery", "tried_at", ("message_id", "tried_at")
    message_id: Annotated[str, "idempotency key: the same thing said to the same receiver"]
    channel: Annotated[str, "entry-point name, e.g. alertmanager"]
    url: Annotated[str, "address of an Alertmanager, or <type>:<name> of a receiver"]
    state: Annotated[str, "sent | partial | waiting | refused | dead | muted"]
    tries: Annotated[int, "tries so far"]
    status: Annotated[int | None, "HTTP status of the newest try; NULL when nothing answered"]
    error: Annotated[str | None, "why it, or a part of it, was not taken; why it is muted"]
    first_at: Annotated[datetime, "when it was first tried"]
    tried_at: Annotated[datetime, "when it was last tried"]
    incident_id: Annotated[str | None, "incident a receiver is told of; NULL for Alertmanager"] = None
    notice: Annotated[str | None, "opened | raised | grown | reopened | acknowledged | resolved | joined"] = None


@dataclass(frozen=True, slots=True)
class KeptReport(Noun):
    """A drift report that was made and is kept; its files lie in reports/<report_id>/ of the data directory."""

    table_name, time, ids = "report", "made_at", ("report_id",)
    report_id: Annotated[str, "<name>-<slot> of a scheduled one, once a slot; hand-<random> of others"]
    name: Annotated[str | None, "in `reports:` of the site; NULL when somebody asked for it"]
    model: Annotated[str, "model it is about"]
    period_from: Annotated[datetime, "start of the period it tells of"]
    period_to: Annotated[datetime, "end of the period; the slot of a scheduled one"]
    made_at: Annotated[datetime, "when it was made"]
    verdict: Annotated[str, "drift | quiet | unknown"]
    summary: Annotated[str, "its headline"]
    files: Annotated[tuple[str, ...], "names of its files; none when it could not be made"]
    error: Annotated[str | None, "why it, or a part of it, could not be made"]
    sha256: Annotated[
        tuple[str, ...] | None, "of each of its files, 64 hex digits; NULL where it was made before they were kept"
    ] = None
