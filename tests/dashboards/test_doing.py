"""Forms of a page: only from this origin, only by POST, and the reason why not is told."""

import core
import httpx

from dashboards import doing


def test_a_command_asked_from_another_origin_is_refused(face: str) -> None:
    with httpx.Client(base_url=face, trust_env=False, timeout=30) as client:
        codes = [
            client.post("/do", data={"act": "note"}, headers=h).status_code
            for h in ({}, {"Origin": "https://evil.example"})
        ]

        assert codes == [403, 403]
        assert client.get("/do").status_code == 405


def test_what_the_core_refuses_is_told_as_text(face: str) -> None:
    with httpx.Client(base_url=face, trust_env=False, timeout=30) as client:
        origin = {"Origin": face.rstrip("/")}
        client.post("/login", data={"token": core.TOKEN}, headers=origin)
        answer = client.post("/do", data={"act": "note", "object": "<b>", "next": "//evil.example"}, headers=origin)

    assert answer.status_code == 400
    assert "Not done" in answer.text
    assert "<b>" not in answer.text.split("<main")[1].replace("<b>observe", "")


def test_why_it_was_not_done_leads_back_to_where_one_was(face: str) -> None:
    with httpx.Client(base_url=face, trust_env=False, timeout=30) as client:
        origin = {"Origin": face.rstrip("/")}
        client.post("/login", data={"token": core.TOKEN}, headers=origin)
        said = {"act": "mute 1h", "object": "inc-burn", "next": '/incidents?id=inc-burn&a="><b>'}
        answer = client.post("/do", data=said, headers=origin)

    assert '<a class="button" href="/incidents?id=inc-burn&amp;a=&quot;&gt;&lt;b&gt;">Back</a>' in answer.text


def test_the_browser_asks_for_a_reason_where_one_is_needed_only() -> None:
    acts = [(a, "", "") for a in ("acknowledge", "mute 1h", "accept_normal", "unmute", "false_alarm")]
    shown = doing.form("inc-1", "/", acts).children

    field = next(c for c in shown if getattr(c, "id", "") == "act-reason")
    free = {c.value for c in shown if getattr(c, "formNoValidate", None)}
    assert field.required is True
    assert free == {"acknowledge", "accept_normal", "unmute"}
