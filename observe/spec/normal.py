"""What people may accept as the new normal, and what is advised before and after they did; who checks and who shows ask the same.

Source: our own; METHODS section 4, "After an alarm"; docs/alerts.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

KINDS: Final = ("drift", "performance", "skew")  # of alarms whose streams can learn anew
LEARNING: Final = (
    "level",
    "rate",
    "performance",
    "estimate",
    "skew",
    "straggler",
)  # detectors that go by what is accepted
ADVICE: Final[Mapping[str, str]] = {
    "drift": "accept it as the new normal if it was meant; if it stays, retrain",
    "skew": "accept it if the difference is meant",
}
DONE: Final = "wait for the next judged window: it is accepted as the new normal"


def advised(suggestion: str | None) -> bool:
    """Whether a suggestion says to accept something."""
    return any(advice in (suggestion or "") for advice in ADVICE.values())


def once_accepted(suggestion: str) -> str:
    """The suggestion for people who have done so.

    >>> once_accepted("57 idle H100 in us-east could take it; accept it as the new normal if it was meant; if it stays, retrain")
    '57 idle H100 in us-east could take it; wait for the next judged window: it is accepted as the new normal'
    """
    for advice in ADVICE.values():
        suggestion = suggestion.replace(advice, DONE)
    return suggestion
