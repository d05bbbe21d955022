"""A notice as an e-mail over SMTP, under STARTTLS unless the site says otherwise.

`Message-ID` is the idempotency key; all of one incident refer to one thread. When some recipients are refused
the others are told. Text from the outside is one line, so it cannot become a header.

Source: RFC 5321 (SMTP: 4xx may be tried again, 5xx not), RFC 5322, RFC 3207 (STARTTLS), RFC 3834 (Auto-Submitted).
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from alerts import telling
from alerts.notices import Notice, Receiver
from alerts.posting import SHOWN, hidden
from observe.errors import ConfigError
from observe.schema import Alert, Message, Reply

CHANNEL: Final = "email"
_POLICY: Final = SMTP.clone(cte_type="7bit")  # a relay need not know 8BITMIME
_CONVERSATION: Final = 6  # answers in one: greeting, EHLO, STARTTLS, AUTH, recipients, data


def compose(notice: Notice, receiver: Receiver, alerts: Sequence[Alert], home: str | None) -> Message:
    """The message that tells a receiver of a notice; the same each time it is made."""
    spec, made = receiver.spec, EmailMessage(policy=_POLICY)
    message_id, domain = receiver.message_id(notice), str(spec.sender).rpartition("@")[2]
    thread = f"<{notice.incident.incident_id}@{domain}>"
    made["From"], made["To"] = str(spec.sender), ", ".join(spec.to)
    made["Subject"] = telling.title(notice)
    made["Date"] = format_datetime(notice.at)
    made["Message-ID"], made["In-Reply-To"], made["References"] = f"<{message_id}@{domain}>", thread, thread
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(telling.plain(notice, telling.link(notice, home)) + "\n")
    incident_id = notice.incident.incident_id
    return Message(message_id, CHANNEL, receiver.url, made.as_bytes(), {}, incident_id, notice.kind)


def send(message: Message, timeout_s: float, receiver: Receiver, now: datetime) -> Reply:
    """Hand one message to the mail server; never raises for what it does."""
    password = ""
    try:
        password = receiver.spec.password.resolve() if receiver.spec.password else ""
        with _server(receiver, password, timeout_s) as server:
            refused = server.sendmail(str(receiver.spec.sender), list(receiver.spec.to), message.body)
    except ConfigError as error:
        return Reply(False, None, True, error.message)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        reply = _failed(error)
        return Reply(reply.ok, reply.status, reply.retry, hidden(reply.error or "", (password,)))
    told = "; ".join(f"{whom}: {code} {_text(said)}" for whom, (code, said) in sorted(refused.items()))
    return Reply(True, 250, False, f"refused for {told}"[:SHOWN] if told else None)


def probe(receiver: Receiver, timeout_s: float) -> tuple[bool | None, str]:
    """Whether the server takes us in; nothing is sent.

    Raises:
        ConfigError: the password cannot be read.
    """
    password = receiver.spec.password.resolve() if receiver.spec.password else ""
    try:
        with _server(receiver, password, timeout_s) as server:
            server.noop()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return False, hidden(_failed(error).error or "", (password,))
    how = f"over {receiver.spec.tls or 'starttls'}" if receiver.spec.tls != "none" else "in clear"
    return True, f"takes us in {how}" + (f" as {receiver.spec.username}" if password else "")


@contextmanager
def _server(receiver: Receiver, password: str, timeout_s: float) -> Iterator[smtplib.SMTP]:
    """A mail server that was greeted, secured and logged in to; cut off when the conversation takes too long."""
    spec = receiver.spec
    context = None if spec.tls == "none" else ssl.create_default_context(cafile=spec.ca)
    with _Guard(_CONVERSATION * timeout_s) as guard:
        server = _Client(str(spec.smtp), timeout_s, context if spec.tls == "implicit" else None, guard)
        try:
            if spec.tls in (None, "starttls"):
                server.starttls(context=context)
            if spec.username is not None:
                server.login(spec.username, password)
            yield server
            with suppress(smtplib.SMTPException, OSError):  # taken is taken, however the goodbye goes
                server.quit()
        finally:
            server.close()


class _Guard:
    """Ends a conversation that an answer in drips would hold for hours: greeting, handshakes and all."""

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._held: socket.socket | None = None

    def __enter__(self) -> _Guard:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._held is not None:
            self._held.close()

    def watch(self, raw: socket.socket) -> None:
        """Know the connection; a copy of it, for TLS takes the socket itself away."""
        self._held = raw.dup()

    def _cut(self) -> None:
        with suppress(OSError):
            if self._held is not None:
                self._held.shutdown(socket.SHUT_RDWR)


class _Client(smtplib.SMTP):
    """An SMTP client that is guarded before the server has said a word; under TLS from the first byte when told to."""

    def __init__(self, address: str, timeout_s: float, context: ssl.SSLContext | None, guard: _Guard) -> None:
        self._context, self._watched_by = context, guard
        host, _, port = address.rpartition(":")
        super().__init__(host.strip("[]"), int(port), timeout=timeout_s)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """Smtplib's own place for it: its SMTP_SSL does the same."""
        raw = socket.create_connection((host, port), timeout)
        self._watched_by.watch(raw)
        return self._context.wrap_socket(raw, server_hostname=host) if self._context else raw


def _failed(error: Exception) -> Reply:
    """What a fault means: an answer of 5xx is final, everything else may be better next time."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        told = "; ".join(f"{whom}: {code} {_text(said)}" for whom, (code, said) in sorted(error.recipients.items()))
        codes = [code for code, _ in error.recipients.values()]
        return Reply(False, max(codes), min(codes) < 500, told[:SHOWN])
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Reply(False, error.smtp_code, True, f"does not let us in: {error.smtp_code} {_text(error.smtp_error)}")
    if isinstance(error, smtplib.SMTPResponseException):
        return Reply(False, error.smtp_code, error.smtp_code < 500, f"{error.smtp_code} {_text(error.smtp_error)}")
    return Reply(False, None, True, f"{type(error).__name__}: {error}"[:SHOWN])


def _text(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(text.split())[:200]
