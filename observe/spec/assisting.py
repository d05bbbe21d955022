"""Who may put an incident into other words: any server that speaks OpenAI's chat completions. Off unless it is written.

Source: our own (`observe/v1`, `assistant:` of kind `Site`); docs/incident-summary.md.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from observe.spec.quantity import Malformed
from observe.spec.written import Address, AnyPath, Duration, Secret, Written, travels_in_clear


def _one_line(value: str) -> str:
    if not value or len(value) > 200 or not value.isprintable():
        raise Malformed("a model is named in one line of at most 200 characters", "llama-3.1-8b-instruct")
    return value


def _soon(value: float) -> float:
    if not 1.0 <= value <= 120.0:
        raise Malformed("an answer is waited for between 1s and 2m", "timeout: 20s")
    return value


class AssistantSpec(Written):
    """A language model that is told what is known of an incident, and writes it in other words."""

    url: Address
    model: Annotated[str, AfterValidator(_one_line)]
    token: Secret | None = None
    timeout_s: Annotated[Duration, AfterValidator(_soon)] = Field(default=20.0, alias="timeout")
    ca: AnyPath | None = None

    @model_validator(mode="after")
    def _in_clear(self) -> Self:
        if travels_in_clear(self.url):
            hint = "https://…, or a server on this machine"
            raise Malformed("what is known of an incident would travel in clear", hint, ("url",))
        return self
