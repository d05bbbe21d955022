"""What is known of why an incident happened: ranked causes, what differs, what was alike before, in words.

Source: our own; docs/incidents.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from observe.schema.table import Json, JsonList, Noun

Verdict = Literal["cause", "no clear cause", "too little"]


@dataclass(frozen=True, slots=True)
class Explanation(Noun):
    """Why an incident happened, as far as is known; one row per judgement that changed, the view shows the last.

    Scores are correlation in time, place and share, given as a probability against "none of these": no proof.
    """

    table_name, time, ids = "explanation", "changed_at", ("incident_id", "changed_at")
    incident_id: Annotated[str, "incident it explains"]
    changed_at: Annotated[datetime, "when this row was written"]
    verdict: Annotated[Verdict, "whether one signal explains it clearly; too little: too few rows or signals to say"]
    causes: Annotated[
        JsonList,
        "JSON list, the likeliest first: kind, subject, onset, until, note, score (0-1, with the others and `unexplained` it makes 1), why (list of words)",
    ]
    differs: Annotated[
        JsonList,
        "JSON list, what explains most first: dimension, value, bad, bad_total, good, good_total (requests since the onset), lift (share among bad over share among good), low (95 % bound, corrected), p_adjusted",
    ]
    similar: Annotated[
        JsonList, "JSON list, the most alike first: incident_id, score 0-1, summary, cause, resolved_after_s, helped"
    ]
    text: Annotated[str, "2-6 sentences that stand alone"]
    unexplained: Annotated[float | None, "probability that none of the signals explains it; NULL when too little"] = (
        None
    )
    inhibited_by: Annotated[str | None, "incident that this one is part of, which is told instead of it"] = None
    about: Annotated[Json | None, "the sick thing it is about, with others or alone: kind, name, says"] = None
