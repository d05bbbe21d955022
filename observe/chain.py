"""The chain that shows a changed audit row: each command's sha256 is over its fields and the row before.

Source: our own; TRUST section 2, "audit".
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC
from hashlib import sha256
from typing import Any

from observe.errors import UsageError
from observe.schema import Command


def chained(fields: Mapping[str, Any], previous: str) -> Command:
    """A command whose `chain` is the sha256 of its fields and the previous row's chain.

    Args:
        fields: every field of `Command` but `chain`; `parameters` must be JSON.
        previous: the chain of the newest row, "" for the first.

    Raises:
        UsageError: `parameters` hold what JSON cannot say.
    """
    try:
        parameters = json.loads(json.dumps(fields["parameters"], allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(f"parameters of a command must be JSON: {error}") from error
    bare = Command(**{**fields, "parameters": parameters, "chain": ""})
    return replace(bare, chain=_link(bare, previous))


def verify_chain(commands: Iterable[Command], previous: str = "") -> str | None:
    """The id of the first command whose chain does not fit what it says and the row before; None when all do.

    Args:
        commands: in the order they were written.
        previous: the chain before the first of them.
    """
    for command in commands:
        if not hmac.compare_digest(command.chain, _link(command, previous)):
            return command.command_id
        previous = command.chain
    return None


def _link(command: Command, previous: str) -> str:
    said = {c.name: getattr(command, c.name) for c in Command.table().columns if c.name != "chain"}
    said["ts"] = command.ts.astimezone(UTC).isoformat(timespec="microseconds")
    said["parameters"] = dict(command.parameters)
    text = json.dumps({"previous": previous, **said}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode("ascii")).hexdigest()
