"""What stands between an approved action and its target: live, envelope, money, cooldown, daily maximum, circuit breaker."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from acted import T0, action, after, site

from alerts import permits
from alerts.ledger import History
from observe.schema import Action


def known(config, *recent: History, broken=None) -> permits.Known:  # type: ignore[no-untyped-def]
    return permits.Known(config, recent, broken or {})


def sent(name: str, at: datetime, **more) -> History:  # type: ignore[no-untyped-def]
    return History((action(name, state="sent", changed_at=at, attempts=1, **more),))


def why(config, asked: Action | None = None, *recent: History, **more) -> tuple[str, bool] | None:  # type: ignore[no-untyped-def]
    hold = permits.permit(asked or action(), known(config, *recent, **more), T0)
    return (hold.why, hold.for_good) if hold else None


def test_a_live_site_with_a_declared_target_may_send(tmp_path: Path) -> None:
    assert why(site(tmp_path)) is None


@pytest.mark.parametrize(
    ("mode", "rule", "told"),
    [
        ("dry-run", "", "the site went back to dry-run"), ("off", ", mode: live", "the site says actions: {mode: off}"),
        ("live", ", mode: dry-run", "the site went back to dry-run"), ("dry-run", ", mode: live", None),
    ],
)  # fmt: skip
def test_dry_run_is_the_default_a_rule_may_be_live_and_off_beats_them_all(
    tmp_path: Path, mode: str, rule: str, told: str | None
) -> None:
    found = why(site(tmp_path, mode=mode, rule=rule))

    assert (found and found[0]) == told


def test_a_target_that_nobody_declared_is_never_asked(tmp_path: Path) -> None:
    config = site(tmp_path)
    bare = replace(config, site=config.site.model_copy(update={"targets": {}}))

    assert why(bare) == ("no target 'ops' is declared in the site's targets", True)


def test_the_envelope_is_that_of_the_moment_of_sending(tmp_path: Path) -> None:
    assert why(site(tmp_path, most=3)) == ("outside the envelope: 4 replicas, 2 to 3 are allowed", True)


def test_what_would_cost_more_than_the_rule_allows_is_not_sent(tmp_path: Path) -> None:
    found = why(site(tmp_path, rule=", maxUsdPerMonth: 29199"))

    assert found == ("outside the envelope: 4 replicas cost $29,200 a month, $29,199 are allowed", True)
    assert why(site(tmp_path, rule=", maxUsdPerMonth: 29200")) is None


def test_the_seventh_action_of_a_model_in_a_day_waits(tmp_path: Path) -> None:
    recent = [sent(str(i), T0 - timedelta(hours=i)) for i in range(2, 8)]
    found = why(site(tmp_path), None, *recent)

    assert found == ("daily maximum: 6 of 6 actions of chat were sent in 24 h", False)
    assert why(site(tmp_path), None, *recent[:-1], sent("old", T0 - timedelta(hours=25))) is None


def test_a_target_may_have_a_smaller_maximum(tmp_path: Path) -> None:
    found = why(site(tmp_path, more=", perDay: 1"), None, sent("2", T0 - timedelta(hours=2)))

    assert found == ("daily maximum: 1 of 1 actions were sent to ops in 24 h", False)


def test_the_same_target_is_not_asked_again_within_the_cooldown(tmp_path: Path) -> None:
    assert why(site(tmp_path), None, sent("2", after(-300))) == ("cooldown: the same was sent at 08:55:00 UTC", False)
    assert why(site(tmp_path), None, sent("2", after(-601))) is None


def test_a_cooldown_of_days_is_remembered_for_days(tmp_path: Path) -> None:
    week = site(tmp_path, cooldown="7d")
    before = sent("2", T0 - timedelta(days=6))

    assert why(week, None, before) == ("cooldown: the same was sent at 2026-11-14 09:00 UTC", False)
    assert why(week, None, sent("2", T0 - timedelta(days=7))) is None
    assert [permits.memory(c).days for c in (week, site(tmp_path), site(tmp_path, cooldown="9999d"))] == [7, 1, 400]


def judged(name: str, verdict: str, minutes: float) -> Action:
    return action(name, state="succeeded", outcome={"verdict": verdict, "judged_at": after(60 * minutes).isoformat()})


@pytest.mark.parametrize(
    ("verdicts", "opens"),
    [
        (["worse", "no change"], True), (["worse", "unknown", "worse"], True), (["worse", "helped"], False), (["worse"], False),
        (["helped", "unknown", "unknown"], False), (["worse", "worse", "helped"], False),
    ],
)  # fmt: skip
def test_two_outcomes_in_a_row_that_exclude_an_improvement_open_the_breaker(verdicts: list[str], opens: bool) -> None:
    rows = [judged(str(i), verdict, i) for i, verdict in enumerate(verdicts)]

    assert (("chat", "scale") in permits.broken(rows, {})) is opens


def test_a_breaker_is_of_a_model_and_a_kind_whichever_target_was_asked() -> None:
    rows = [judged("1", "worse", 1), replace(judged("2", "no change", 2), target="keda:vllm-chat")]
    others = [replace(judged("3", "worse", 3), kind="retrain"), replace(judged("4", "worse", 4), model="cat")]

    assert list(permits.broken([*rows, *others], {})) == [("chat", "scale")]


def test_a_breaker_that_a_person_closed_needs_two_more_to_open(tmp_path: Path) -> None:
    rows = [judged("1", "worse", 1), judged("2", "worse", 2), judged("3", "worse", 4)]

    assert permits.broken(rows, {"chat/scale": after(180)}) == {}
    assert why(site(tmp_path), None, broken=permits.broken(rows, {}))[0].startswith("circuit breaker open")  # type: ignore[index]
