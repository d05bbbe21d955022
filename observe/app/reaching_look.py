"""One look at something the configuration names: what it found, and the looks that several kinds of things share.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from collectors import pull
from observe.certificates import read

EACH_S: Final = 8.0  # for one answer
FIRST: Final = 64 * 1024  # bytes of a page that are looked at
_SOON: Final = timedelta(days=14)  # a certificate that ends within this deserves a second look

Found = tuple[bool | None, str]  # whether it works (None: worth a second look), and what was seen
Try = Callable[[], Found]


def answers(url: str, said: str) -> Found:
    """Whether anything answers at an address."""
    pull.get(url, EACH_S, FIRST, cut=True)
    return True, said


def secret(resolve: Callable[[], str]) -> Found:
    """Whether a secret can be read; never what it is."""
    resolve()
    return True, "is there"


def certificate(path: Path, now: datetime) -> Found:
    """Whether a certificate holds, and until when."""
    found = read(path)
    ends = f"{found.not_after:%Y-%m-%d}"
    if found.not_after <= now:
        return False, f"expired on {ends}"
    if found.not_before > now:
        return False, f"does not hold before {found.not_before:%Y-%m-%d}"
    left = found.not_after - now
    return (True, f"holds until {ends}") if left > _SOON else (None, f"ends in {left.days} days, on {ends}")
