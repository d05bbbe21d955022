"""What was typed wrong, said like every other error: one line, and what to type instead.

Source: our own; typer's usage errors, whose wording differs.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from observe.spec.nearest import nearest


class Wrong(Protocol):
    """A usage error of typer's, which brings its own click."""

    exit_code: int

    @property
    def ctx(self) -> Place | None:
        """Where it was."""

    def format_message(self) -> str:
        """What is wrong."""


class Place(Protocol):
    """The command that was typed."""

    @property
    def command_path(self) -> str:
        """Its name in full."""


_CHOICE: Final = re.compile(r"'([^']*)' is not one of (.+?)\.?$")


def said(error: Wrong) -> str:
    """The message for a person; a command typed without anything is told how it is used."""
    text = error.format_message().replace("Value error, ", "").replace(". Did you", "; did you")
    if text.startswith("Usage:"):
        return text
    choice = _CHOICE.search(text)
    meant = nearest(choice[1], re.findall(r"'([^']*)'", choice[2])) if choice else None
    advice = [f"did you mean {meant!r}?"] if meant else []
    advice += [f"see {error.ctx.command_path} --help"] if error.ctx else []
    return f"error: {'; '.join([text[:1].lower() + text[1:].rstrip('.'), *advice])}"
