"""A notice as a message of a Slack incoming webhook; Mattermost and Rocket.Chat take the same.

The webhook's address is the secret. Slack knows no idempotency key: a message that was taken before we died
comes twice. Text from the outside mentions nobody, links nowhere and formats nothing, in any of the three.

Source: Slack, "Sending messages using incoming webhooks" and "Formatting text" (escapes & < >); Mattermost, "Format
messages" and "Mention teammates" (@name, Markdown, bare addresses).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from alerts import telling
from alerts.notices import Notice, Receiver
from alerts.posting import Request, ask, post
from observe.errors import ConfigError
from observe.schema import Alert, Message, Reply

CHANNEL: Final = "slack"
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMATS: Final = str.maketrans(  # signs that would format a text, mention somebody, or make a link
    {"*": "∗", "_": "ˍ", "`": "ˋ", "~": "˷", "@": "＠", "[": "［", "]": "］", "#": "＃", "|": "｜", "\\": "＼"}
)
_LINKS: Final = re.compile(r"://|(?i:\bwww\.)|(?i:\bmailto:)")


def compose(notice: Notice, receiver: Receiver, alerts: Sequence[Alert], home: str | None) -> Message:
    """The message that tells a receiver of a notice; the same each time it is made."""
    link = telling.link(notice, home)
    rows = [f"*{name}* {escaped(value)}" for name, value in telling.facts(notice)]
    text = "\n".join([f"*{escaped(telling.title(notice))}*", *rows, *([f"<{link}|Open the incident>"] if link else [])])
    body = json.dumps({"text": text}, ensure_ascii=False).encode()
    return Message(
        receiver.message_id(notice), CHANNEL, receiver.url, body, {}, notice.incident.incident_id, notice.kind
    )


def escaped(text: str) -> str:
    """Text that is shown as it is: no mention, no link, no formatting.

    >>> escaped("<!channel> a*b @all")
    '&lt;!channel&gt; a∗b ＠all'
    >>> escaped("see https://evil.example")
    'see https:／／evil.example'
    """
    inert = _LINKS.sub(
        lambda m: m[0].replace("/", "／").replace(".", "．").replace("o:", "o："), text.translate(_FORMATS)
    )
    return "".join(_ESCAPES.get(c, c) for c in inert)


def send(message: Message, timeout_s: float, receiver: Receiver, now: datetime) -> Reply:
    """Post one message to the address the secret holds."""
    try:
        address = _address(receiver)
    except ConfigError as error:
        return Reply(False, None, True, error.message)
    headers = {"Content-Type": "application/json", "User-Agent": "observe"}
    return post(Request(address, message.body, headers, secrets=_secrets(address), ca=receiver.spec.ca), timeout_s)


def probe(receiver: Receiver, timeout_s: float) -> tuple[bool | None, str]:
    """Whether Slack knows this webhook: it is sent nothing, which it refuses as nothing.

    Raises:
        ConfigError: the secret cannot be read, or holds no address.
    """
    address = _address(receiver)
    headers = {"Content-Type": "application/json", "User-Agent": "observe"}
    answer = ask(Request(address, b"{}", headers, secrets=_secrets(address), ca=receiver.spec.ca), timeout_s)
    if answer.reply.status == 400:  # no_text: known, and nothing to show
        return True, "knows this webhook"
    return False, answer.reply.error or "took a message without text"


def _address(receiver: Receiver) -> str:
    assert receiver.spec.webhook is not None
    address = receiver.spec.webhook.resolve()
    if urlsplit(address).scheme not in ("http", "https") or not address.isascii():
        raise ConfigError(
            f"the secret {receiver.spec.webhook} holds no address", hint="the whole address, https://hooks.slack.com/…"
        )
    return address


def _secrets(address: str) -> tuple[str, ...]:
    """What must not be told of an address: all of it, its path, its query, who calls."""
    parts = urlsplit(address)
    return address, parts.path.lstrip("/"), parts.query, parts.password or "", parts.username or ""
