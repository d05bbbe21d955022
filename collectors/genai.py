"""What instrumentations call the same fact about a call to a model, newest name first.

Only the attributes named here are read from a span; prompts, completions, tool arguments and
every other attribute are never decoded, so message content cannot be stored by accident.

Source: open-telemetry/semantic-conventions-genai and its renames; LiteLLM's integrations
`opentelemetry` (old: `metadata.*`, `gen_ai.cost.*`, `hidden_params`) and `otel` (new: `litellm.*`);
OpenLLMetry (`gen_ai.*`, `llm.*`, `traceloop.*`); OpenInference (`llm.*`, `openinference.*`); Envoy AI
Gateway (`gen_ai.original.model`); vLLM's own tracing (`gen_ai.latency.*`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "operation": ("gen_ai.operation.name",),
    "span_kind": ("openinference.span.kind",),
    "request_type": ("llm.request.type",),
    "workflow_kind": ("traceloop.span.kind",),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor"),
    # gen_ai.original.model: what the client asked for, before Envoy AI Gateway put another model in its place
    "model_requested": ("gen_ai.original.model", "gen_ai.request.model", "llm.request.model_name", "llm.request.model"),
    "model_served": (
        "gen_ai.response.model", "llm.response.model_name", "llm.model_name", "llm.response.model", "embedding.model_name",
        "reranker.model_name",
    ),
    "response_id": ("gen_ai.response.id", "llm.response.id"),
    "stream": ("gen_ai.request.stream", "litellm.request.streaming", "gen_ai.is_streaming", "llm.is_streaming"),
    "ttft_s": ("gen_ai.response.time_to_first_chunk", "gen_ai.latency.time_to_first_token"),
    "finish_reason": (
        "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "llm.finish_reason",
        "gen_ai.completion.0.finish_reason", "llm.completions.0.finish_reason", "llm.response.finish_reason",
    ),
    "tokens_in": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens"),
    "tokens_out": (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion", "llm.usage.completion_tokens",
    ),
    "tokens_cached_in": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read", "llm.usage.cache_read_input_tokens",
    ),
    "tokens_cache_write_in": (
        "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write", "llm.usage.cache_creation_input_tokens",
    ),
    "tokens_reasoning": (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning", "llm.usage.reasoning_tokens",
    ),
    "cost_usd": ("litellm.cost.total", "litellm.cost.total_cost", "gen_ai.cost.total_cost", "gen_ai.usage.cost", "llm.cost.total"),
    "error_class": ("error.type",),
    "http_status": ("http.response.status_code", "http.status_code", "litellm.provider.error.code", "error.code"),
    "grpc_status": ("rpc.response.status_code", "rpc.grpc.status_code"),
    "cache_hit": ("litellm.cache_hit", "cache_hit", "metadata.cache_hit"),
    "attempt_no": ("http.request.resend_count", "litellm.attempted_retries", "metadata.attempted_retries"),
    "team_id": ("litellm.team.id", "litellm.metadata.user_api_key_team_id", "metadata.user_api_key_team_id"),
    "api_key_hash": ("litellm.api_key.hash", "litellm.metadata.user_api_key_hash", "metadata.user_api_key_hash"),
    "end_user": (
        "litellm.end_user.id", "litellm.metadata.user_api_key_end_user_id", "metadata.user_api_key_end_user_id",
        "user.id", "enduser.id", "gen_ai.user", "llm.user", "traceloop.association.properties.user_id",
    ),
    "session_id": ("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id"),
    "deployment_id": ("litellm.model_id", "litellm.deployment.id", "metadata.model_id"),
    "hidden_params": ("hidden_params",),
    "invocation_parameters": ("llm.invocation_parameters",),
    "tags": ("litellm.request_tags", "metadata.requester_tags", "tag.tags"),
    "prompt_version": ("gen_ai.prompt.version", "llm.prompt_template.version", "traceloop.prompt.version"),
}  # fmt: skip
"""Fact about a call -> attributes that tell it, newest first."""

KEYS: Final[Mapping[str, tuple[str, int]]] = {
    key: (fact, rank) for fact, keys in ALIASES.items() for rank, key in enumerate(keys)
}
"""Attribute -> the fact it tells and its rank among the names of that fact, 0 the newest."""

# Facts that make a span a GenAI span. The requested model alone does not: LiteLLM copies
# gen_ai.request.model onto every span of a request, database calls included.
MARKERS: Final = frozenset(
    {"operation", "span_kind", "request_type", "provider", "model_served", "tokens_in", "tokens_out"}
)

# Written once for a request and repeated in child spans of LiteLLM's old integration.
REPEATED_SPANS: Final = frozenset({"raw_gen_ai_request"})

# Operation as told -> as we store it; an operation not named here is kept as told.
OPERATIONS: Final[Mapping[str, str]] = {
    "completion": "chat", "acompletion": "chat", "responses": "chat", "aresponses": "chat", "anthropic_messages": "chat",
    "text_completion": "text_completion", "atext_completion": "text_completion",
    "embedding": "embeddings", "aembedding": "embeddings", "rerank": "rerank", "arerank": "rerank",
    "image_generation": "generate_content", "aimage_generation": "generate_content",
}  # fmt: skip
SPAN_KINDS: Final[Mapping[str, str]] = {"LLM": "chat", "EMBEDDING": "embeddings", "RERANKER": "rerank"}
REQUEST_TYPES: Final[Mapping[str, str]] = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
    "rerank": "rerank",
}

# GenAI spans that are no call to a model: they wrap calls, or call something else.
NOT_CALLS: Final = frozenset({
    "execute_tool", "invoke_agent", "create_agent", "invoke_workflow", "retrieval", "plan",
    "litellm.vector_store_management", "litellm.vector_store_file_management", "litellm.responses_management",
})  # fmt: skip

# Renamed values of gen_ai.provider.name.
PROVIDERS: Final[Mapping[str, str]] = {
    "az.ai.openai": "azure.ai.openai", "az.ai.inference": "azure.ai.inference",
    "vertex_ai": "gcp.vertex_ai", "gemini": "gcp.gemini", "xai": "x_ai",
}  # fmt: skip

FIRST_TOKEN_EVENTS: Final = frozenset(
    {"gen_ai.content.completion.chunk", "First Token Stream Event", "llm.content.completion.chunk"}
)

CANCELLED_FINISH: Final = frozenset({"abort", "cancelled", "canceled"})

RESOURCE: Final[Mapping[str, str]] = {"k8s.cluster.name": "cluster", "k8s.namespace.name": "namespace"}
"""Resource attribute -> column of `attempt`; the collector's label stands in for an absent cluster."""
