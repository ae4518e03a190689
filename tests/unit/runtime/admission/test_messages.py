"""The table of an ONNX file's fields is that of ONNX itself."""

from __future__ import annotations

import onnx
import pytest
from google.protobuf.descriptor import FieldDescriptor as Kind

from probatum.runtime.admission.messages import MESSAGES, SCALARS

# Our names, where they differ from `onnx.proto`'s by more than the ending.
NAMES = {
    "AttributeProto": "Attribute",
    "DeviceConfigurationProto": "DeviceConfiguration",
    "FunctionProto": "Function",
    "GraphProto": "Graph",
    "ModelProto": "Model",
    "NodeDeviceConfigurationProto": "NodeDeviceConfiguration",
    "NodeProto": "Node",
    "OperatorSetIdProto": "OperatorSetId",
    "SparseTensorProto": "SparseTensor",
    "StringStringEntryProto": "Entry",
    "TensorAnnotation": "TensorAnnotation",
    "TensorProto": "Tensor",
    "TensorProto.Segment": "Segment",
    "TensorShapeProto": "Shape",
    "TensorShapeProto.Dimension": "Dimension",
    "TrainingInfoProto": "TrainingInfo",
    "TypeProto": "Type",
    "TypeProto.Map": "MapType",
    "TypeProto.Opaque": "OpaqueType",
    "TypeProto.Optional": "OptionalType",
    "TypeProto.Sequence": "SequenceType",
    "TypeProto.SparseTensor": "TensorType",
    "TypeProto.Tensor": "TensorType",
    "ValueInfoProto": "ValueInfo",
}
# Never read, since a file that has them is refused for having them at all.
UNREAD = {
    "IntIntListEntryProto",
    "ShardedDimProto",
    "ShardingSpecProto",
    "SimpleShardedDimProto",
}
SCALAR_KINDS = {
    Kind.TYPE_STRING: "text",
    Kind.TYPE_BYTES: "bytes",
    Kind.TYPE_FLOAT: "float",
    Kind.TYPE_DOUBLE: "double",
}
CLOSED = {"TrainingInfo", "NodeDeviceConfiguration"}


def walk(message):
    yield message
    for inner in message.nested_types:
        yield from walk(inner)


DESCRIBED = {
    described.full_name.removeprefix("onnx."): described
    for top in onnx.ModelProto.DESCRIPTOR.file.message_types_by_name.values()
    for described in walk(top)
}


def test_every_message_of_onnx_has_its_table_or_is_never_read():
    assert set(DESCRIBED) == set(NAMES) | UNREAD
    assert set(MESSAGES) == set(NAMES.values())


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_field_is_as_onnx_describes_it(name):
    table = MESSAGES[NAMES[name]]
    described = {field.number: field for field in DESCRIBED[name].fields}
    assert set(table) == set(described)
    for number, field in table.items():
        theirs = described[number]
        assert field.name == theirs.name
        assert field.is_repeated == theirs.is_repeated
        if theirs.message_type is None:
            assert field.type == SCALAR_KINDS.get(theirs.type, "int")
        elif NAMES[name] in CLOSED:
            assert field.type == "bytes"
        else:
            assert field.type == NAMES[theirs.message_type.full_name.removeprefix("onnx.")]
        assert not field.is_bulk or (field.is_repeated and field.type in SCALARS)
