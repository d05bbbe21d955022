"""What a language model is told of an incident, and when its words are refused."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from delivered import T0, incident
from receivers import http

from alerts import digest
from observe.errors import SourceError
from observe.schema import Explanation
from observe.spec.assisting import AssistantSpec
from observe.spec.secret import SecretRef


def explained(**more) -> Explanation:  # type: ignore[no-untyped-def]
    cause = {
        "kind": "gpu",
        "subject": "eu-west",
        "onset": T0.isoformat(),
        "until": None,
        "note": "2 GPUs throttle",
        "score": 0.81,
        "why": ["began 1 min before"],
        "prompt": "SECRET",
    }
    fields = {
        "incident_id": "inc-1", "changed_at": T0, "verdict": "cause", "causes": (cause,), "text": "Two GPUs throttle.", "unexplained": 0.07,
        "differs": ({"dimension": "team", "value": "acme", "bad": 300, "bad_total": 400, "good": 1, "good_total": 2, "lift": 15.0, "low": 9.0, "p_adjusted": 1e-9, "user": "SECRET"},),
        "similar": ({"incident_id": "inc-0", "score": 0.5, "summary": "s", "cause": {"kind": "gpu", "user": "SECRET"}, "resolved_after_s": 60.0, "helped": None},),
        **more,
    }  # fmt: skip
    return Explanation(**fields)


def test_exactly_the_fields_that_are_listed_leave() -> None:
    told = digest.facts(incident(summary="ttft burns"), explained())

    assert {name: tuple(v) if isinstance(v, dict) else tuple(v[0]) for name, v in told.items()} == dict(digest.TOLD)
    body = digest.asked(told, "m").decode()
    assert "SECRET" not in body
    assert "inc-1" not in body


def test_it_is_asked_over_the_api_with_its_token_and_nothing_else_leaves(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0k3n")
    told = digest.facts(incident(), explained())
    with http() as box:
        box.answer = lambda heard: (
            200,
            json.dumps({"choices": [{"message": {"content": "2 GPUs throttle.\n"}}]}).encode(),
        )
        spec = AssistantSpec(url=f"{box.url}/v1", model="tiny", token=SecretRef("file", str(tmp_path / "token")))
        words = digest.written(told, spec)

    (heard,) = box.heard
    assert (words.text, words.refused) == ("2 GPUs throttle.", None)
    assert (heard.path, heard.headers["Authorization"]) == ("/v1/chat/completions", "Bearer t0k3n")
    assert set(heard.json) == {"model", "messages", "temperature", "max_tokens", "stream"}
    system, user = heard.json["messages"]
    assert json.loads(user["content"]) == json.loads(json.dumps(told))
    assert system["content"] == digest._PROMPT


LOG = "gateway: “user alice@x.com of <*>”: 0 → 12 a minute"


def private() -> Explanation:
    """As it is made where bad requests share a tag and a key, and a log message is the likeliest cause."""
    mix = {"bad": 30, "bad_total": 40, "good": 1, "good_total": 2, "lift": 15.0, "low": 9.0, "p_adjusted": 1e-9}
    why = ["75 % of bad requests against 1 % of good ones have tag user:alice@x.com"]
    return explained(
        causes=({"kind": "log", "subject": "t1", "note": LOG, "score": 0.9, "why": why},),
        differs=({"dimension": "tag", "value": "user:alice@x.com", "also": [], **mix},
                 {"dimension": "team", "value": "acme", "also": ["API key a1b2c3"], **mix}),
        similar=({"incident_id": "inc-0", "score": 0.5, "summary": "s", "cause": LOG, "resolved_after_s": 60.0, "helped": None},),
        text=f"chat: it burns. Most likely cause (90 %): log messages at 14:02 ({LOG}), {why[0]}. {why[0]} (the same requests: "
        "API key a1b2c3): at least 9 times as common.",
    )  # fmt: skip


def test_tags_keys_and_log_messages_do_not_leave() -> None:
    cause = {"kind": "log", "subject": "t1", "onset": T0.isoformat(), "note": LOG}
    told = digest.facts(incident(cause=cause, suggestion=f"read the log: {LOG}"), private())

    body = digest.asked(told, "m").decode()
    assert not [word for word in ("alice", "a1b2c3", "user ", "<*>") if word in body]
    assert [d["value"] for d in told["differs"]] == ["acme"]
    assert told["incident"]["suggestion"] == "read the log: gateway: a message: 0 → 12 a minute"
    assert told["explanation"]["text"].endswith(
        "have tag (left out) (the same requests: API key (left out)): at least 9 times as common."
    )


def test_a_value_that_is_no_number_stops_nothing() -> None:
    told = digest.facts(incident(effect=float("nan"), ci_high=float("inf")), explained())

    assert (told["incident"]["effect"], told["incident"]["ci_high"]) == (None, None)
    assert digest.examined("It burns 19 times.", {**told, "more": [float("nan"), float("inf")]}).refused


@pytest.mark.parametrize(
    ("words", "own"),
    [
        ("It burns 18 times too fast since 09:00.", []),
        ("81 % fits, 7% is left; 300 of 400 bad.", []),
        ("15.0 times, 9 at least", []),
        ("It burns 19 times too fast.", ["19"]),
        ("82 % fits; call 555.", ["82", "555"]),
        ("1,234 requests", ["1,234"]),
    ],
)
def test_a_number_it_was_not_told_is_found(words: str, own: list[str]) -> None:
    assert digest.foreign(words, digest.facts(incident(), explained())) == own


def test_words_of_no_use_are_refused() -> None:
    told = digest.facts(incident(), explained())

    assert digest.examined(" \x1b\n", told).refused == "it wrote nothing"
    assert "more than" in (digest.examined("long " * 500, told).refused or "")
    assert digest.examined("It is 42.", told) == digest.Words(None, "it names 42, which it was not told")
    assert digest.examined("a\u202eb\x1b[66J", told).refused == "it names 66, which it was not told"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"choices": []}', b'{"choices": [{"message": null}]}', b"[" * 100_000])
def test_an_answer_that_is_none_is_an_error_that_says_so(body: bytes) -> None:
    with http() as box:
        box.answer = lambda heard: (200, body)
        with pytest.raises(SourceError, match="did not answer as its API says"):
            digest.written(digest.facts(incident(), explained()), AssistantSpec(url=f"{box.url}/v1", model="tiny"))


def test_a_state_is_asked_about_once_however_its_numbers_grow() -> None:
    first = digest.about(incident(), explained(), "m")

    assert (
        digest.about(
            incident(effect=40.0, changed_at=T0 + timedelta(hours=1)), explained(text="more", unexplained=0.2), "m"
        )
        == first
    )
    assert digest.about(incident(state="resolved"), explained(), "m") != first
    assert digest.about(incident(), explained(verdict="no clear cause"), "m") != first


def test_it_is_only_asked_in_clear_on_this_machine() -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match="in clear"):
        AssistantSpec(url="http://llm.example.com/v1", model="m")
    assert AssistantSpec(url="http://[::1]:8000/v1", model="m").timeout_s == 20.0
    assert AssistantSpec(url="https://llm.example.com/v1", model="m")
