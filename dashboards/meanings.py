"""What it means that an item was not stored, by the reason that its collector gives.

Source: our own; the reasons are those of `collectors`.
"""

from typing import Final

MEANING: Final = {
    "duplicate": "was stored already: nothing is lost",
    "syntax": "could not be read",
    "too_old": "older than accept.past; observe import takes it",
    "bad_data": "the data of a call: neither V1 nor V2, or more than 1 MiB",
    "bad_ts": "its time could not be read",
    "bad_times": "it ends before it begins",
    "missing_key": "it has no id or no time",
    "not_finite": "a value is infinite or no number",
    "not_genai": "a span that is no model call",
    "no_device": "nobody says which GPU it is about",
    "in_future": "later than accept.future: the sender's clock",
    "too_many_models": "more models than a site may have without a file",
    "too_many_series": "more series than a source may have",
    "not_allowed": "no pattern keeps this metric: nothing is lost that was wanted",
    "nested_genai": "the same call told by an inner span: nothing is lost",
    "store_failed": "the store refused it: see the log",
    "superseded": "a better series tells the same: nothing is lost",
    "not_a_call": "a span around calls: an agent, a tool, a workflow",
    "invalid_id": "it has no id that can be one",
    "no_status": "neither success nor failure",
    "not_an_object": "no JSON object",
    "unknown_type": "a CloudEvent that is neither a call nor a change",
    "bad_model": "no name that a model can have",
    "not_a_change": "an event that changes nothing we follow: nothing is lost",
    "below_severity": "a log record below WARN: nothing is lost that was wanted",
    "no_severity": "a log record that tells no severity",
    "no_body": "a log record that says nothing",
    "no_recorded_value": "a point that says it has no value: nothing is lost",
    "bad_buckets": "a histogram whose buckets contradict each other",
    "unmapped": "a series nobody asks for: nothing is lost that was wanted",
    "histogram": "buckets nobody asks for: nothing is lost that was wanted",
    "created": "when a counter began: nothing is lost that was wanted",
    "duplicate_series": "the same series twice on one page: the first stays",
    "device_wide": "a MIG instance repeats a value of its board: nothing is lost",
    "shared_device": "a GPU told once for each pod that shares it: nothing is lost",
    "sentinel": "the exporter's word for no value",
    "no_model": "nobody says which model it is about: give the collector a model",
    "unknown_outcome": "requests that ended in a way we do not know",
    "too_many_samples": "more samples than a page may have: split the target",
    "too_many_targets": "more agents than can be told apart",
}
