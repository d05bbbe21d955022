"""A secret is named where it lies, never written down: `env:NAME` or `file:PATH`.

Source: our own. This is the only place that reads the environment for a secret.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from observe.errors import ConfigError
from observe.spec.quantity import Malformed

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret lies; printing it shows the place, never the secret."""

    kind: Literal["env", "file"]
    name: str  # of the variable, or an absolute path

    def __str__(self) -> str:
        """The reference as written."""
        return f"{self.kind}:{self.name}"

    def resolve(self) -> str:
        """The secret itself, surrounding white space removed.

        Raises:
            ConfigError: the variable is unset, the file cannot be read, or it is empty.
        """
        if self.kind == "env":
            value = os.environ.get(self.name, "")
        else:
            try:
                value = Path(self.name).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"cannot read the secret {self}: {type(error).__name__}") from None
        if not value.strip():
            raise ConfigError(f"the secret {self} is empty", hint="set it, or remove the reference")
        return value.strip()


def parse_secret(text: str, folder: Path) -> SecretRef:
    """The reference `text` stands for; a relative path starts from `folder`.

    Raises:
        Malformed: not a reference; the text itself is not repeated, it may be the secret.
    """
    kind, _, name = text.partition(":")
    if kind == "env" and _ENV_NAME.fullmatch(name):
        return SecretRef("env", name)
    if kind == "file" and name:
        return SecretRef("file", str((folder / name).absolute()))
    raise Malformed("a secret must be a reference", "write env:NAME or file:PATH, never the secret itself")
