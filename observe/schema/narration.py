"""What a language model wrote about an incident, kept beside our own words and never in their place.

Source: our own; docs/incident-summary.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from observe.schema.table import Noun


@dataclass(frozen=True, slots=True)
class Narration(Noun):
    """A language model's words about one state of an incident; only where a site asks for them. The view shows the last."""

    table_name, time, ids = "narration", "made_at", ("incident_id", "about")
    incident_id: Annotated[str, "incident it is about"]
    about: Annotated[str, "sha256 of what the model was told, 16 hex digits: the same is asked once"]
    made_at: Annotated[datetime, "when it came"]
    model: Annotated[str, "who wrote it, as the site names it"]
    text: Annotated[str | None, "its words; NULL when they were refused"]
    refused: Annotated[str | None, "why its words are not shown"]
