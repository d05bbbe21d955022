"""The demo platform as a process: exporters to scrape and traffic that arrives.

Source: our own.
"""

from __future__ import annotations

import argparse
import os
import threading
from datetime import datetime

from observe.clock import WallClock
from observe.demo.pages import exporters, serve_pages
from observe.demo.traffic import Traffic
from observe.demo.world import Plan


def main() -> None:
    """Serve pages and send traffic every two seconds until standard input ends."""
    options = argparse.ArgumentParser()
    options.add_argument("--now", required=True, help="when the story is told, ISO 8601")
    options.add_argument("--pages", type=int, required=True, help="port of the exporters")
    options.add_argument("--api", required=True)
    options.add_argument("--otlp", required=True)
    given = options.parse_args()
    plan, clock = Plan(datetime.fromisoformat(given.now)), WallClock()
    server = serve_pages(given.pages, exporters(plan, clock))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ended = threading.Event()
    threading.Thread(target=_until_input_ends, args=(ended,), daemon=True).start()
    traffic = Traffic(plan, given.api, given.otlp, os.environ.get("OBSERVE_TOKEN", ""))
    while not ended.wait(2.0):
        traffic.send(clock.now().timestamp())
    server.shutdown()


def _until_input_ends(ended: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    ended.set()


if __name__ == "__main__":
    main()
