"""What is muted when: the newest word counts, mutes join, and the calendar of the files is among them."""

from datetime import datetime, timedelta

from delivered import T0, after, alert, site
from hypothesis import given
from hypothesis import strategies as st

from alerts.muting import EVERYTHING, Mute, Quiet, calendar, mutes, named
from observe.schema import Command


def said(seconds: float, verb: str, what: str, until: float | None = None) -> Command:
    parameters = {} if until is None else {"until": after(until).isoformat()}
    return Command(after(seconds), f"cmd-{seconds}", "ada", "operator", verb, what, "because", parameters, "")


def ends(*commands: Command) -> list[tuple[datetime, datetime]]:
    return [(m.start, m.end) for m in mutes(commands)]


def test_the_newest_word_about_an_object_ends_the_earlier_one() -> None:
    assert ends(said(0, "mute", "chat", 100), said(10, "mute", "chat", 20)) == [(T0, after(10)), (after(10), after(20))]
    assert ends(said(0, "mute", "chat", 100), said(10, "unmute", "chat")) == [(T0, after(10))]
    assert ends(said(0, "mute", "chat", 100), said(10, "unmute", "fraud")) == [(T0, after(100))]


def test_an_alert_is_muted_by_its_incident_model_monitor_itself_or_everything() -> None:
    one = named(alert())

    for what in ("inc-1", "chat", "chat/burn/ttft1", "alr-1", "*"):
        assert Quiet([Mute(what, T0, after(60), "ada")]).until(one, after(30)) == (after(60), "muted by ada")
    assert Quiet([Mute("fraud", T0, after(60), "ada")]).until(one, after(30)) is None


SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=8)


@given(SPANS, st.integers(0, 60))
def test_the_first_free_instant_is_free_and_none_before_it_is(spans: list[tuple[int, int]], at: int) -> None:
    quiet = Quiet([Mute(EVERYTHING, after(s), after(s + n), "x") for s, n in spans])
    names = [named(alert())]
    free = quiet.free(names, after(at))

    assert quiet.until(names[0], free) is None
    seconds = int((free - after(at)).total_seconds())
    assert all(quiet.until(names[0], after(at + i)) for i in range(seconds))


def test_maintenance_by_the_calendar_follows_its_time_zone(tmp_path) -> None:  # type: ignore[no-untyped-def]
    text = '  maintenance: [{cron: "30 9 * * *", for: 1h, timezone: Europe/Berlin, why: patches}]\n'
    quiet = Quiet((), calendar(site(tmp_path, text)))
    begins = T0 - timedelta(minutes=30)  # 8:30 UTC is 9:30 in Berlin in November

    assert quiet.until(named(alert()), begins) == (begins + timedelta(hours=1), "maintenance: patches")
    assert quiet.until(named(alert()), begins - timedelta(seconds=1)) is None
    assert quiet.until(named(alert()), begins + timedelta(hours=1)) is None
