"""A new reference after a training: from when to when the data it learnt from are the new normal of a model.

Source: our own; ARCHITECTURE section 3, "Binnings and references": a training proposes, a person or a passed canary accepts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from observe.schema.table import Noun

Accepts = Literal["human", "canary", "auto"]


@dataclass(frozen=True, slots=True)
class ReferenceWindow(Noun):
    """A period proposed as the new normal of a model; one row per change, the view shows the last.

    Accepted, every drift alarm of its incident ends, and its monitors learn anew from where their change was over.
    """

    table_name, time, ids = "reference_window", "changed_at", ("reference_id", "changed_at")
    reference_id: Annotated[str, "ref-<hash of the event that told of the training>"]
    model: Annotated[str, "model it is of"]
    incident_id: Annotated[str, "drift that the training answers"]
    action_id: Annotated[str | None, "action of ours that asked for the training; NULL: somebody else's"]
    event_id: Annotated[str, "change event that told of it"]
    version: Annotated[str | None, "version that was trained"]
    period_from: Annotated[datetime, "first instant of the data that are the new normal"]
    period_to: Annotated[datetime, "end of them"]
    rows: Annotated[int | None, "rows of the model in it; NULL when not known"]
    accepts: Annotated[Accepts, "who accepts it: human, canary (once the new version is as good), auto"]
    state: Annotated[str, "proposed | accepted | withdrawn"]
    settled_by: Annotated[str | None, "token name of who accepted it; rule or canary where nobody needs to"]
    text: Annotated[str, "one line a person can read"]
    changed_at: Annotated[datetime, "when this row was written"]
