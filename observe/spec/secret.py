"""A secret is named where it lies, never written down: `env:NAME` or `file:PATH`.

It is read when it is needed, not when the configuration is: a check needs no secrets. What looks like
a secret elsewhere (variables of a ModelSpec) is hidden before anything keeps it.

Source: our own. This is the only place that reads the environment for a secret.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from observe.errors import ConfigError, Mark
from observe.spec.quantity import Malformed

HIDDEN: Final = "(hidden)"
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_WORDS: Final = frozenset((
    "key", "apikey", "token", "secret", "password", "passwd", "passphrase", "pwd", "credential", "auth",
    "authorization", "authentication", "cookie", "dsn", "bearer", "signature", "sig",
))  # fmt: skip
_ENDS: Final = ("password", "passwd", "passphrase", "apikey", "secret", "token", "credential")  # of words run together
_WORD = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])")
_NUMBER = re.compile(r"[\d.,]*")
SECRET_TEXT: Final = re.compile(r"(?:sk-|ghp_|gho_|github_pat_|glpat-|hf_|xox[abprs]-|AKIA|ASIA|AIza|eyJ)[\w.+/=-]+")
_SECRET_VALUE = re.compile(
    r"""-----BEGIN|Bearer\ |\w://[^\s/]*@                        # private keys, headers, addresses with a user
    |\w://[^\s/@]*:[^\s@]*@                                    # and with a password that holds a slash
    |(?:password|passwd|pwd|secret|token|signature|sig|(?:account|access|shared|api)[_-]?(?:access)?[_-]?key)
     ["']?\s*[:=]\s*["']?[^\s;&"']                             # connection strings, queries, JSON
    |--[\w-]*(?:password|passwd|secret|token|api-?key)[=\ ]\S  # arguments of a program
    """,
    re.IGNORECASE | re.VERBOSE,
)
_RANDOM = re.compile(r"(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+/=_-]{32,}")


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret lies; printing it shows the place, never the secret."""

    kind: Literal["env", "file"]
    name: str  # of the variable, or an absolute path
    mark: Mark | None = field(default=None, compare=False, repr=False)  # where the reference is written

    def __str__(self) -> str:
        """The reference as written."""
        return f"{self.kind}:{self.name}"

    def resolve(self) -> str:
        """The secret itself, surrounding white space removed.

        Raises:
            ConfigError: the variable is unset, the file cannot be read, or it is empty; with the place of the reference.
        """
        value = os.environ.get(self.name) if self.kind == "env" else self._read()
        if value is None:
            raise ConfigError(f"the secret {self} is not set", self.mark, hint=f"export {self.name}=…")
        if not value.strip():
            raise ConfigError(f"the secret {self} is empty", self.mark, hint="set it, or remove the reference")
        return value.strip()

    def _read(self) -> str:
        try:
            return Path(self.name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise ConfigError(f"cannot read the secret {self}: {why}", self.mark) from None

    def readable_by_others(self) -> int | None:
        """The mode of a file that anybody on this machine may read; None for everything else."""
        if self.kind != "file":
            return None
        try:
            mode = stat.S_IMODE(Path(self.name).stat().st_mode)
        except OSError:
            return None
        return mode if mode & stat.S_IROTH else None


def parse_secret(text: str, folder: Path, mark: Mark | None = None) -> SecretRef:
    """The reference `text` stands for; a relative path starts from `folder`.

    Raises:
        Malformed: not a reference; the text itself is not repeated, it may be the secret.
    """
    kind, _, name = text.partition(":")
    if kind == "env" and _ENV_NAME.fullmatch(name):
        return SecretRef("env", name, mark)
    if kind == "file" and name:
        return SecretRef("file", str((folder / name).absolute()), mark)
    raise Malformed("a secret must be a reference", "write env:NAME or file:PATH, never the secret itself")


def names_secret(name: str, value: str = "") -> bool:
    """Whether what goes by this name is a secret; `tokens` that are a number are counted, not kept secret.

    >>> names_secret("PGPASSWORD"), names_secret("DB_PASS"), names_secret("MAX_TOKENS", "512"), names_secret("BYPASS")
    (True, True, False, False)
    """
    *first, last = [word.casefold() for word in _WORD.split(name)]
    return last == "pass" or any(_is_secret_word(word, value) for word in (*first, last))


def _is_secret_word(word: str, value: str) -> bool:
    if word.endswith("tokens"):
        return not _NUMBER.fullmatch(value)
    single = word.removesuffix("s")
    return word in _SECRET_WORDS or single in _SECRET_WORDS or single.endswith(_ENDS)


def shown_value(name: str, value: str) -> str:
    """A variable's value, or `(hidden)` where its name or its look says secret.

    >>> shown_value("HF_TOKEN", "x"), shown_value("MAX_TOKENS", "512"), shown_value("DB", "pg://u:p@h/d")
    ('(hidden)', '512', '(hidden)')
    """
    looks = SECRET_TEXT.match(value) or _SECRET_VALUE.search(value) or _RANDOM.fullmatch(value)
    return HIDDEN if looks or names_secret(name, value) else value
