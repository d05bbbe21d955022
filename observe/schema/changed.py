"""What became of a change that somebody made without us: a deploy, a rollback, a scaling.

Source: our own; docs/actions.md, "Did it help?".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from observe.schema.table import Json, Noun


@dataclass(frozen=True, slots=True)
class ChangeOutcome(Noun):
    """Did a change help that no action of ours asked for? Written once, when the hour after it is over."""

    table_name, time, ids = "change_outcome", "judged_at", ("change_id",)
    change_id: Annotated[str, "event that told of it; seen/<model>/<instant> where only model servers show it"]
    model: Annotated[str, "model it concerns"]
    kind: Annotated[str, "scale | deploy | rollback"]
    what: Annotated[str, "what was done, one line"]
    actor: Annotated[str | None, "who did it; NULL where nobody told"]
    source: Annotated[str, "source of the event; samples where replicas were seen to change"]
    ts: Annotated[datetime, "when it happened, or was seen"]
    incident_id: Annotated[str | None, "incident of the model that was open then"]
    outcome: Annotated[
        Json,
        "what became of the metric: metric, before, after, effect, ci_low, ci_high, unit, verdict (helped | no change | worse | unknown), text",
    ]
    judged_at: Annotated[datetime, "when it was judged"]
