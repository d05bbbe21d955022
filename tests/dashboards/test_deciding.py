"""A person approves on the Actions page of a running service, and the target is asked."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from acted import action
from receivers import http
from running import until
from serviced import service

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_a_click_on_approve_sends_the_action_and_the_page_shows_that_it_was_taken(tmp_path: Path, browser: Any) -> None:
    with http() as ops:
        made = service(tmp_path, ops.url, "1", "2")
        made.start()
        until(lambda: listens(made.ui_port), 90)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(120_000)  # ms; a busy machine is not a fault of the page
        try:
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{made.ui_port}/login")
            page.fill("#token", made.token)
            page.click("button[type=submit]")
            page.goto(f"http://127.0.0.1:{made.ui_port}/actions")
            page.wait_for_selector("text=waits for you")
            box = page.locator(".verdict", has=page.locator(f'input[value="{action("1").action_id}"]'))
            box.locator('input[name="reason"]').fill("traffic is real")
            box.locator("text=Approve").click()
            until(lambda: ops.taken)
            until(lambda: made.sql("select count(*) as n from action where state = 'acknowledged'")["n"][0] == 1)
            page.goto(f"http://127.0.0.1:{made.ui_port}/actions?id={action('1').action_id}")
            page.wait_for_selector("text=approve by admin: traffic is real")
            told = page.inner_text("#page")
            waiting = made.sql("select action_id from action where state = 'proposed'")["action_id"].to_list()
        finally:
            context.close()
            made.stop()

    assert [h.json["incident_id"] for h in ops.taken] == ["inc-1"]
    assert "took it" in told
    assert "Too early" in told
    assert waiting == [action("2").action_id]
