"""The view `request`: tries of one trace are one request, whoever tells them and in whatever batches."""

from collections.abc import Callable
from datetime import timedelta

from observe.schema import Batch
from observe.store import Store

Attempts = Callable[..., Batch]


def test_a_call_told_by_gateway_and_client_in_two_batches_is_one_request(store: Store, attempts: Attempts) -> None:
    told = {"trace_id": "t", "operation": "chat", "response_id": "r", "model_id": "m"}
    store.append(
        attempts("gateway", 1, timedelta(seconds=1), parent_span_id="client-0", cost_usd=0.5, cost_known=True, **told)
    )
    store.append(attempts("client", 1, **told))

    rows = store.read("select count(*) as n, any_value(status) as status, sum(cost_usd) as usd from request").rows()
    assert rows == [(1, "ok", 0.5)]


def test_a_request_fails_for_the_reason_of_its_last_try(store: Store, attempts: Attempts) -> None:
    tried = {"trace_id": "t", "model_id": "m"}
    store.append(attempts("first", 1, timedelta(seconds=5), error_kind="rate_limited", **tried))
    store.append(attempts("second", 1, error_kind="timeout", **tried))

    assert store.read("select attempts, error_kind from request").rows() == [(2, "timeout")]
