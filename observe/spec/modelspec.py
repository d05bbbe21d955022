"""What a model is and promises, read tolerantly from ParallelIQ's ModelSpec; only the name is required.

Source: ModelSpec v0.1 (`piqc.ai/v1alpha1`), github.com/paralleliq/modelspec: names, types and ranges
of fields only. Its own examples write `modelspec.paralleliq.ai/v0.1`; both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from observe.spec.fields import tree
from observe.spec.governance import Compliance, Governance
from observe.spec.operations import Observability, Operations, Scaling, Serving
from observe.spec.quantity import Malformed
from observe.spec.theirs import AsText, AtLeast1, Flag, Number, Text, Texts, TheirName, Theirs, Variables

API_VERSION: Final = "piqc.ai/v1alpha1"
API_VERSIONS: Final = (API_VERSION, "modelspec.paralleliq.ai/v0.1")


class SpecMetadata(Theirs):
    """The name the model goes by, its version, and what people hang on it."""

    name: TheirName
    version: Text | None = None
    description: Text | None = None
    labels: Texts = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)


class Artifacts(Theirs):
    """Where weights and tokenizer lie."""

    model_uri: Text | None = Field(default=None, alias="modelUri")
    tokenizer_uri: Text | None = Field(default=None, alias="tokenizerUri")


class ModelIdentity(Theirs):
    """Which model it is."""

    id: Text | None = None
    family: Text | None = None
    task: Text | None = None
    framework: Text | None = None
    precision: Text | None = None
    artifacts: Artifacts = Field(default_factory=Artifacts)


class Identity(Theirs):
    """Holds the model."""

    model: ModelIdentity = Field(default_factory=ModelIdentity)


class Accelerator(Theirs):
    """What one replica runs on."""

    vendor: Text | None = None
    type: Text | None = None
    count: AtLeast1 | None = None


class Batch(Theirs):
    """Limits of one batch."""

    max_batch_size: AtLeast1 | None = Field(default=None, alias="maxBatchSize")
    max_sequence_length_tokens: AtLeast1 | None = Field(default=None, alias="maxSequenceLengthTokens")


class Resources(Theirs):
    """What one replica needs besides accelerators."""

    cpu_cores: Number | None = Field(default=None, alias="cpuCores")
    memory_gb: Number | None = Field(default=None, alias="memoryGb")
    ephemeral_storage_gb: Number | None = Field(default=None, alias="ephemeralStorageGb")


class Environment(Theirs):
    """Variables of the model's process; a value that looks secret is never kept."""

    variables: Variables = Field(default_factory=dict)


class Runtime(Theirs):
    """What the model runs on and with."""

    accelerator: Accelerator = Field(default_factory=Accelerator)
    batch: Batch = Field(default_factory=Batch)
    resources: Resources = Field(default_factory=Resources)
    environment: Environment = Field(default_factory=Environment)


class Step(Theirs):
    """One step before or after the model."""

    name: Text | None = None
    type: Text | None = None
    enabled: Flag | None = None


class Steps(Theirs):
    """Steps in their order."""

    steps: tuple[Step, ...] = ()


class Interface(Theirs):
    """What goes to a dependency and comes back, and how fast."""

    input_type: Text | None = Field(default=None, alias="inputType")
    output_type: Text | None = Field(default=None, alias="outputType")
    max_latency_ms: Number | None = Field(default=None, alias="maxLatencyMs")


class Dependency(Theirs):
    """Another model this one relies on."""

    id: Text
    role: Annotated[Literal["input", "guardrail", "reranker", "postprocess", "custom"], AsText] | None = None
    spec_ref: Text | None = Field(default=None, alias="specRef")
    required: Flag = True
    interface: Interface = Field(default_factory=Interface)

    @property
    def max_latency_s(self) -> float | None:
        """How long an answer may take, s."""
        limit = self.interface.max_latency_ms
        return None if limit is None else limit / 1000


class Pipeline(Theirs):
    """What stands before, after and beside the model."""

    preprocess: Steps = Field(default_factory=Steps)
    postprocess: Steps = Field(default_factory=Steps)
    dependencies: tuple[Dependency, ...] = ()

    @model_validator(mode="after")
    def _once(self) -> Self:
        ids = [d.id for d in self.dependencies]
        for i, name in enumerate(ids):
            if name in ids[:i]:
                raise Malformed(f"dependency {name!r} is listed twice", "keep one", ("dependencies", i, "id"))
        return self


class SpecBody(Theirs):
    """Everything said about the model."""

    identity: Identity = Field(default_factory=Identity)
    runtime: Runtime = Field(default_factory=Runtime)
    operations: Operations = Field(default_factory=Operations)
    pipeline: Pipeline = Field(default_factory=Pipeline)
    governance: Governance = Field(default_factory=Governance)


class ModelSpec(Theirs):
    """One ModelSpec, with short names for what Observe asks of it."""

    metadata: SpecMetadata
    spec: SpecBody = Field(default_factory=SpecBody)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.metadata.name

    @property
    def version(self) -> str | None:
        """The version as written: `1.10` stays `1.10`."""
        return self.metadata.version

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels; `team` and `service` go onto alerts."""
        return self.metadata.labels

    @property
    def annotations(self) -> Mapping[str, str]:
        """Annotations; `runbook` goes onto alerts."""
        return self.metadata.annotations

    @property
    def model_id(self) -> str | None:
        """The model's id elsewhere: an alias of its name."""
        return self.spec.identity.model.id

    @property
    def task(self) -> str | None:
        """What the model does: `chat-completion`, `embedding`."""
        return self.spec.identity.model.task

    @property
    def accelerator_type(self) -> str | None:
        """What one replica runs on, as in the site's prices."""
        return self.spec.runtime.accelerator.type

    @property
    def accelerator_count(self) -> int | None:
        """How many of them one replica takes."""
        return self.spec.runtime.accelerator.count

    @property
    def serving(self) -> Serving:
        """Protocol, port and probes."""
        return self.spec.operations.serving

    @property
    def scaling(self) -> Scaling:
        """Bounds and targets of scaling."""
        return self.spec.operations.scaling

    @property
    def min_replicas(self) -> int | None:
        """Fewest replicas."""
        return self.scaling.min_replicas

    @property
    def max_replicas(self) -> int | None:
        """Most replicas: the bound of every scale action."""
        return self.scaling.max_replicas

    @property
    def target_latency_p95_s(self) -> float | None:
        """The declared 95th percentile of latency, s."""
        target = self.scaling.target_latency_ms_p95
        return None if target is None else target / 1000

    @property
    def observability(self) -> Observability:
        """Metrics, logging, tracing."""
        return self.spec.operations.observability

    @property
    def target_cost_per_1k_tokens_usd(self) -> float | None:
        """The cost envelope, USD per 1,000 tokens."""
        return self.spec.governance.cost.target_cost_per_1k_tokens_usd

    @property
    def compliance(self) -> Compliance:
        """Personal data, retention, ownership."""
        return self.spec.governance.compliance

    @property
    def pii_allowed(self) -> bool | None:
        """Whether personal data may be kept."""
        return self.compliance.pii.allowed

    @property
    def logs_days(self) -> int | None:
        """How long logs may be kept, days."""
        return self.compliance.retention.logs_days

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """Models this one relies on."""
        return self.spec.pipeline.dependencies

    def as_written(self) -> dict[str, Any]:
        """The fields that were written, by their names in the file; what looks secret is hidden."""
        return self.model_dump(by_alias=True, exclude_unset=True, mode="json")


FIELDS: Final = {"apiVersion": None, "kind": None, **tree(ModelSpec)}
