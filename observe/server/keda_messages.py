"""The messages of KEDA's external scaler, described here and made by protobuf at run time: no generated code.

Source: KEDA 2.x, pkg/scalers/externalscaler/externalscaler.proto (package `externalscaler`): names, numbers and types of
fields only. `targetSize` and `metricValue` are deprecated there in favour of the floats; both are filled.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE: Final = "externalscaler.ExternalScaler"
_FIELDS: Final[Mapping[str, tuple[tuple[str, int, str], ...]]] = {  # name, number, type; * is repeated
    "ScaledObjectRef": (("name", 1, "string"), ("namespace", 2, "string"), ("scalerMetadata", 3, "*ScaledObjectRef.ScalerMetadataEntry")),
    "IsActiveResponse": (("result", 1, "bool"),),
    "GetMetricSpecResponse": (("metricSpecs", 1, "*MetricSpec"),),
    "MetricSpec": (("metricName", 1, "string"), ("targetSize", 2, "int64"), ("targetSizeFloat", 3, "double")),
    "GetMetricsRequest": (("scaledObjectRef", 1, "ScaledObjectRef"), ("metricName", 2, "string")),
    "GetMetricsResponse": (("metricValues", 1, "*MetricValue"),),
    "MetricValue": (("metricName", 1, "string"), ("metricValue", 2, "int64"), ("metricValueFloat", 3, "double")),
}  # fmt: skip


@cache
def message(name: str) -> Any:
    """The class of a message, e.g. `message("IsActiveResponse")(result=True)`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"externalscaler.{name}"))


@cache
def _pool() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="externalscaler.proto", package="externalscaler", syntax="proto3")
    for name, fields in _FIELDS.items():
        described = file.message_type.add(name=name)
        for field in fields:
            _add(described, *field)
    entry = file.message_type[0].nested_type.add(name="ScalerMetadataEntry")
    entry.options.map_entry = True
    for number, part in enumerate(("key", "value"), 1):
        _add(entry, part, number, "string")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add(described: Any, name: str, number: int, kind: str) -> None:
    types = descriptor_pb2.FieldDescriptorProto
    plain = {
        "string": types.TYPE_STRING,
        "bool": types.TYPE_BOOL,
        "int64": types.TYPE_INT64,
        "double": types.TYPE_DOUBLE,
    }
    bare = kind.removeprefix("*")
    field = described.field.add(
        name=name, number=number, json_name=name, label=types.LABEL_REPEATED if kind != bare else types.LABEL_OPTIONAL,
        type=plain.get(bare, types.TYPE_MESSAGE),
    )  # fmt: skip
    if bare not in plain:
        field.type_name = f".externalscaler.{bare}"
