"""The audit trail: what was changed, taken out or moved is found."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from observe import chain
from observe.errors import UsageError
from observe.schema import Command
from observe.schema.exchange import nouns, nouns_frame

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def later(**by: int) -> datetime:
    return NOW + timedelta(**by)


def trail(n: int = 4) -> list[Command]:
    commands: list[Command] = []
    for i in range(n):
        fields = {
            "ts": later(seconds=i, microseconds=i), "command_id": f"cmd-{i}", "actor": "ada", "role": "operator", "verb": "note",
            "object": "inc-1", "reason": "looked; 5 µs late", "parameters": {"b": 0.1, "a": [1, None]},
        }  # fmt: skip
        commands.append(chain.chained(fields, commands[-1].chain if commands else ""))
    return commands


def test_an_untouched_trail_verifies_also_after_it_was_stored() -> None:
    assert chain.verify_chain(trail()) is None
    assert chain.verify_chain(nouns(Command, nouns_frame(trail()))) is None
    assert chain.verify_chain(trail()[2:], previous=trail()[1].chain) is None


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "eve"},
        {"reason": None},
        {"ts": later(days=1)},
        {"parameters": {}},
        {"verb": "approve"},
        {"chain": "0" * 64},
    ],
)
def test_a_changed_row_is_found(change: dict[str, object]) -> None:
    commands = trail()
    commands[2] = replace(commands[2], **change)  # type: ignore[arg-type]

    assert chain.verify_chain(commands) == "cmd-2"


def test_a_row_taken_out_or_moved_is_found() -> None:
    a, b, c, d = trail()

    assert chain.verify_chain([a, c, d]) == "cmd-2"
    assert chain.verify_chain([a, c, b, d]) == "cmd-2"


def test_parameters_that_json_cannot_say_are_refused() -> None:
    with pytest.raises(UsageError, match="JSON"):
        chain.chained({"parameters": {"until": float("nan")}}, "")
