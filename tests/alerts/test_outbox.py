"""Every message is tried until it is taken, refused or a day old; a taken one is never sent again."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from alerts import outbox
from observe.schema import Delivery, Message, Reply

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MESSAGE = Message("hook-1", "webhook", "http://127.0.0.1:9/hook", b"{}")
DOWN, TAKEN, WRONG = Reply(False, None, True, "refused"), Reply(True, 200), Reply(False, 400, False, "bad")


def seconds(s: float) -> datetime:
    return NOW + timedelta(seconds=s)


def tried_at(replies: Iterator[Reply], until_s: int) -> tuple[list[int], Delivery | None]:
    """At which seconds a loop that looks once a second sends, and where the message then stands."""
    log: dict[str, Delivery] = {}
    tries = []
    for s in range(until_s):
        for message in outbox.due([MESSAGE], log, seconds(s)):
            tries.append(s)
            log[message.message_id] = outbox.record(message, next(replies), log.get(message.message_id), seconds(s))
    return tries, log.get(MESSAGE.message_id)


def always(reply: Reply) -> Iterator[Reply]:
    while True:
        yield reply


def test_a_receiver_that_is_away_is_tried_ever_more_rarely_up_to_five_minutes() -> None:
    tries, _ = tried_at(always(DOWN), 1500)

    waits = [b - a for a, b in pairwise(tries)]
    most = [1, 2, 4, 8, 16, 32, 64, 128, 256, *[300] * 9]
    assert all(0.75 * m <= w <= m + 1 for w, m in zip(waits, most, strict=False))


def test_messages_that_failed_together_do_not_come_back_together() -> None:
    failed = [outbox.record(replace(MESSAGE, message_id=f"hook-{i}"), DOWN, None, NOW) for i in range(50)]
    late = [replace(d, tries=9) for d in failed]

    assert len({outbox.next_try(d) for d in late}) > 30


def test_after_a_day_a_message_is_a_dead_letter() -> None:
    tries, last = tried_at(always(DOWN), 26 * 3600)

    assert last is not None
    assert (last.state, last.tries, last.error) == ("dead", len(tries), "refused")
    assert 24 * 3600 <= tries[-1] <= 24 * 3600 + 301


def test_what_is_refused_outright_is_not_tried_again() -> None:
    tries, last = tried_at(always(WRONG), 600)

    assert (tries, last and last.state, last and last.status) == ([0], "refused", 400)


@given(st.integers(0, 12))
def test_a_taken_message_was_taken_once(failures: int) -> None:
    tries, last = tried_at(iter([DOWN] * failures + [TAKEN] * 5), 3600)

    assert len(tries) == failures + 1
    assert last is not None
    assert (last.state, last.first_at) == ("sent", NOW)


def test_saying_the_same_again_is_no_news_but_new_content_and_a_failure_are() -> None:
    def row(message_id: str, reply: Reply) -> Delivery:
        return outbox.record(Message(message_id, "alertmanager", "http://127.0.0.1:9", b""), reply, None, NOW)

    first = row("am-1@7", TAKEN)

    assert outbox.is_news(first, None)
    assert not outbox.is_news(row("am-1@8", TAKEN), first)
    assert outbox.is_news(row("am-2@8", TAKEN), first)
    assert outbox.is_news(row("am-1@8", DOWN), first)


def test_old_rows_are_forgotten_when_nobody_asks_for_them_any_more() -> None:
    log = {"hook-1": outbox.record(MESSAGE, TAKEN, None, NOW)}

    assert outbox.settled(log, seconds(3600)) == log
    assert outbox.settled(log, seconds(25 * 3600)) == {}
