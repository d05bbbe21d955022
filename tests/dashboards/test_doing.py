"""Forms of a page: only from this origin, only by POST, and the reason why not is told."""

import core
import httpx


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
