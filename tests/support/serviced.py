"""A real service whose store holds proposals, and whose site may act on a webhook."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from acted import MODELS, action
from delivered import incident
from running import Service

from observe.clock import WallClock
from observe.store import Store

MORE = """\
targets:
  ops: {{type: webhook, url: "{url}/act", secret: "file:./secret", timeout: 30s}}
actions: {{mode: live}}
"""


def service(folder: Path, url: str, *names: str) -> Service:
    (folder / "secret").write_text("s3cret")
    os.chmod(folder / "secret", 0o600)
    model = MODELS.format(approve="human", rule="", most=12, cooldown="1s")
    made = Service(folder, more=MORE.format(url=url), models={"chat": model})
    now = datetime.now(UTC)
    store = Store.open(folder / "data", WallClock())
    with store.change() as tx:
        for name in names:
            tx.insert([action(name, changed_at=now, expires_at=now + timedelta(hours=1))])
            tx.insert([incident(name, since=now, opened_at=now, changed_at=now)])
    store.close()
    return made
