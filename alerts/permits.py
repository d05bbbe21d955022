"""Whether an action may be sent at this moment: asked when it is approved, and again right before it is sent.

The site or the rule must say live, the target must be declared, the model's own envelope must still hold, and no
daily maximum, cooldown or circuit breaker may stand in the way. What can pass by itself holds an action; what cannot
ends it.

Source: our own; ARCHITECTURE section 5 `actions`, docs/actions.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alerts.ledger import History, sent_since
from observe.schema import Action, Json
from observe.spec.acting import is_live, target_of

if TYPE_CHECKING:
    from observe.spec import ActionRule, Config
    from observe.spec.config import Model

DAY: Final = timedelta(days=1)
FARTHEST: Final = timedelta(days=400)  # back to what was sent; a longer cooldown ends there
HOURS_A_MONTH: Final = 730.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an action is not sent now; for good when waiting cannot help."""

    why: str
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What a permit looks at besides the action."""

    config: Config
    recent: Sequence[History]  # actions that were sent within `memory`
    broken: Mapping[tuple[str, str], str]  # by model and kind: why the circuit breaker is open


def permit(action: Action, known: Known, now: datetime) -> Hold | None:
    """Why it may not be sent now; None when it may."""
    rule = rule_of(action, known.config)
    if rule is None:
        return Hold(f"no rule of {action.model} asks for {action.kind} with {action.target} any more", for_good=True)
    if not is_live(known.config.site, rule):
        return Hold(_not_live(known.config, rule), for_good=True)
    broken = known.broken.get((action.model, action.kind))
    if broken:
        return Hold(f"circuit breaker open: {broken}")
    outside = envelope(action, rule, known.config)
    return outside or _too_often(action, rule, known, now)


def rule_of(action: Action, config: Config) -> ActionRule | None:
    """The rule that an action comes from, as it is now."""
    model = config.models.get(action.model)
    rules = model.monitoring.actions if model and model.monitoring else ()
    mine = [r for r in rules if (r.do, r.target) == (action.kind, action.target)]
    when = action.reason.partition(":")[0]
    return next((r for r in mine if r.when == when), None)


def mode_of(rule: ActionRule, config: Config) -> str:
    """How an action of this rule is carried out: `dry_run`, `approval` or `auto`."""
    if not is_live(config.site, rule):
        return "dry_run"
    return "auto" if rule.approve == "auto" else "approval"


def approvers(action: Action, config: Config) -> str:
    """The role that must approve what goes to this target."""
    target = target_of(config.site, action.target)
    return target.spec.approvers if target else "operator"


def _not_live(config: Config, rule: ActionRule) -> str:
    if config.site.actions.mode == "off":
        return "the site says actions: {mode: off}"
    if target_of(config.site, rule.target) is None:
        return f"no target {rule.target.partition(':')[0]!r} is declared in the site's targets"
    return "the site went back to dry-run"


def memory(config: Config) -> timedelta:
    """How far back it matters what was sent: the longest declared cooldown, at least a day, at most 400."""
    watched = [m.monitoring for m in config.models.values() if m.monitoring]
    longest = max((rule.cooldown_s for each in watched for rule in each.actions), default=0.0)
    return min(FARTHEST, max(DAY, timedelta(seconds=longest)))


# --- envelope ---------------------------------------------------------------------------------------


def envelope(action: Action, rule: ActionRule, config: Config) -> Hold | None:
    """Whether a scaling lies outside what the ModelSpec and the rule allow now."""
    if action.kind != "scale":
        return None
    wanted, model = action.parameters.get("to"), config.models[action.model]
    low, high = _bounds(model)
    if not isinstance(wanted, int) or isinstance(wanted, bool) or high is None:
        return Hold("outside the envelope: no ModelSpec says how many replicas there may be", for_good=True)
    if not low <= wanted <= high:
        return Hold(f"outside the envelope: {wanted} replicas, {low} to {high} are allowed", for_good=True)
    return _money(wanted, rule, model, config)


def _money(wanted: int, rule: ActionRule, model: Model, config: Config) -> Hold | None:
    limit = rule.max_usd_per_month
    if limit is None:
        return None
    each = replica_usd_per_h(model, config)
    if each is None:
        return Hold(
            "outside the envelope: maxUsdPerMonth is set, and no price of its accelerator is known", for_good=True
        )
    month = wanted * each * HOURS_A_MONTH
    if month > limit:
        why = f"outside the envelope: {wanted} replicas cost ${month:,.0f} a month, ${limit:,.0f} are allowed"
        return Hold(why, for_good=True)
    return None


def _bounds(model: Model) -> tuple[int, int | None]:
    spec = model.spec
    return (1, None) if spec is None else (spec.min_replicas or 1, spec.max_replicas)


def replica_usd_per_h(model: Model, config: Config) -> float | None:
    """What an hour of one replica costs; None where price or accelerator is not known."""
    spec = model.spec
    price = config.site.prices.get(spec.accelerator_type) if spec and spec.accelerator_type else None
    return None if spec is None or price is None else price * (spec.accelerator_count or 1)


def costs(kind: str, parameters: Json, model: Model, config: Config) -> Json:
    """What a scaling costs more (or less), as parameters of the action; nothing where no price is known."""
    each = replica_usd_per_h(model, config) if kind == "scale" else None
    if each is None or "from" not in parameters or "to" not in parameters:
        return {}
    return {"usd_per_h": round((parameters["to"] - parameters["from"]) * each, 4)}


# --- how often --------------------------------------------------------------------------------------


def _too_often(action: Action, rule: ActionRule, known: Known, now: datetime) -> Hold | None:
    if any(h.now.action_id == action.action_id and h.now.state == "sent" for h in known.recent):
        return None  # it was asked already: asking again is the same action
    before = [h for h in known.recent if h.now.action_id != action.action_id]
    return _cooling(action, rule, before, now) or _daily(action, sent_since(before, now - DAY), known.config)


def _cooling(action: Action, rule: ActionRule, before: Sequence[History], now: datetime) -> Hold | None:
    same = (action.model, action.kind, action.target)
    asked = [h.first("sent") for h in before if (h.now.model, h.now.kind, h.now.target) == same]
    newest = max((at for at in asked if at is not None), default=None)
    if newest is None or now - newest >= timedelta(seconds=rule.cooldown_s):
        return None
    when = f"{newest:%H:%M:%S}" if now - newest < DAY else f"{newest:%Y-%m-%d %H:%M}"
    return Hold(f"cooldown: the same was sent at {when} UTC")


def _daily(action: Action, others: Sequence[History], config: Config) -> Hold | None:
    of_model = sum(h.now.model == action.model for h in others)
    most = config.site.actions.per_day
    if of_model >= most:
        return Hold(f"daily maximum: {of_model} of {most} actions of {action.model} were sent in 24 h")
    target = target_of(config.site, action.target)
    if target is not None and target.spec.per_day is not None:
        there = sum(_goes_to(h.now, target.name, config) for h in others)
        if there >= target.spec.per_day:
            return Hold(f"daily maximum: {there} of {target.spec.per_day} actions were sent to {target.name} in 24 h")
    return None


def _goes_to(action: Action, name: str, config: Config) -> bool:
    found = target_of(config.site, action.target)
    return found is not None and found.name == name


# --- circuit breaker --------------------------------------------------------------------------------


def broken(judged: Sequence[Action], closed: Mapping[str, datetime]) -> dict[tuple[str, str], str]:
    """Circuit breakers that are open, by model and kind of action, and why.

    Two outcomes in a row that exclude an improvement open it; it stays open until a person closes it.

    Args:
        judged: the newest row of actions that have an outcome, in any order.
        closed: when a person last closed `<model>/<kind>`.
    """
    found: dict[tuple[str, str], str] = {}
    groups: dict[tuple[str, str], list[Action]] = {}
    for action in sorted(judged, key=lambda a: str((a.outcome or {}).get("judged_at", ""))):
        if (action.outcome or {}).get("verdict") in ("helped", "no change", "worse"):
            groups.setdefault((action.model, action.kind), []).append(action)
    for (model, kind), mine in groups.items():
        after = closed.get(f"{model}/{kind}")
        since = [a for a in mine if after is None or datetime.fromisoformat((a.outcome or {})["judged_at"]) > after]
        last = [(a.outcome or {})["verdict"] for a in since[-2:]]
        if len(last) == 2 and "helped" not in last:
            ids = " and ".join(a.action_id for a in since[-2:])
            found[model, kind] = f"the last two of them did not help ({ids}); a person closes it: {model}/{kind}"
    return found
