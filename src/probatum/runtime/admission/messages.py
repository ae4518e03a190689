"""The messages of an ONNX file: number, name and type of every field.

As in `onnx.proto` of ONNX 1.23 (intermediate representation 14); a test compares them with the
`onnx` package. A field that is not here is refused: an engine might read what we do not. ``*``
marks a repeated field; ``bulk`` numbers are counted instead of kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["MESSAGES", "SCALARS", "Field"]

SCALARS: Final = frozenset({"int", "float", "double", "text", "bytes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a message.

    Attributes:
        name: As `onnx.proto` calls it.
        type: One of `SCALARS`, or the message that it holds.
        is_repeated: Whether it may stand more than once.
        is_bulk: Whether its numbers are counted instead of kept.
    """

    name: str
    type: str
    is_repeated: bool
    is_bulk: bool


_TABLE: Final = {
    "Model": "1 ir_version int; 8 opset_import* OperatorSetId; 2 producer_name text;"
    "3 producer_version text; 4 domain text; 5 model_version int; 6 doc_string text;"
    "7 graph Graph; 14 metadata_props* Entry; 20 training_info* TrainingInfo;"
    "25 functions* Function; 26 configuration* DeviceConfiguration",
    "Graph": "1 node* Node; 2 name text; 5 initializer* Tensor;"
    "15 sparse_initializer* SparseTensor; 10 doc_string text; 11 input* ValueInfo;"
    "12 output* ValueInfo; 13 value_info* ValueInfo;"
    "14 quantization_annotation* TensorAnnotation; 16 metadata_props* Entry",
    "Node": "1 input* text; 2 output* text; 3 name text; 4 op_type text; 7 domain text;"
    "8 overload text; 5 attribute* Attribute; 6 doc_string text; 9 metadata_props* Entry;"
    "10 device_configurations* NodeDeviceConfiguration",
    "Attribute": "1 name text; 21 ref_attr_name text; 13 doc_string text; 20 type int; 2 f float;"
    "3 i int; 4 s bytes; 5 t Tensor; 6 g Graph; 22 sparse_tensor SparseTensor; 14 tp Type;"
    "7 floats* float bulk; 8 ints* int bulk; 9 strings* bytes; 10 tensors* Tensor;"
    "11 graphs* Graph; 23 sparse_tensors* SparseTensor; 15 type_protos* Type",
    "Tensor": "1 dims* int; 2 data_type int; 3 segment Segment; 4 float_data* float bulk;"
    "5 int32_data* int bulk; 6 string_data* bytes; 7 int64_data* int bulk; 8 name text;"
    "12 doc_string text; 9 raw_data bytes; 13 external_data* Entry; 14 data_location int;"
    "10 double_data* double bulk; 11 uint64_data* int bulk; 16 metadata_props* Entry",
    "SparseTensor": "1 values Tensor; 2 indices Tensor; 3 dims* int",
    "Segment": "1 begin int; 2 end int",
    "ValueInfo": "1 name text; 2 type Type; 3 doc_string text; 4 metadata_props* Entry",
    "Type": "1 tensor_type TensorType; 4 sequence_type SequenceType; 5 map_type MapType;"
    "9 optional_type OptionalType; 8 sparse_tensor_type TensorType; 7 opaque_type OpaqueType;"
    "6 denotation text",
    "TensorType": "1 elem_type int; 2 shape Shape",
    "SequenceType": "1 elem_type Type",
    "OptionalType": "1 elem_type Type",
    "MapType": "1 key_type int; 2 value_type Type",
    "OpaqueType": "1 domain text; 2 name text",
    "Shape": "1 dim* Dimension",
    "Dimension": "1 dim_value int; 2 dim_param text; 3 denotation text",
    "Entry": "1 key text; 2 value text",
    "OperatorSetId": "1 domain text; 2 version int",
    "Function": "1 name text; 4 input* text; 5 output* text; 6 attribute* text;"
    "11 attribute_proto* Attribute; 7 node* Node; 8 doc_string text;"
    "9 opset_import* OperatorSetId; 10 domain text; 13 overload text; 12 value_info* ValueInfo;"
    "14 metadata_props* Entry",
    "TensorAnnotation": "1 tensor_name text; 2 quant_parameter_tensor_names* Entry",
    # What these hold is never read: a file that has them is refused for it.
    "TrainingInfo": "1 initialization bytes; 2 algorithm bytes; 3 initialization_binding* bytes;"
    "4 update_binding* bytes",
    "DeviceConfiguration": "1 name text; 2 num_devices int; 3 device* text",
    "NodeDeviceConfiguration": "1 configuration_id text; 2 sharding_spec* bytes;"
    "3 pipeline_stage int",
}


def _parse(row: str) -> Mapping[int, Field]:
    fields: dict[int, Field] = {}
    for each in row.split(";"):
        number, name, kind, *rest = each.split()
        fields[int(number)] = Field(
            name=name.removesuffix("*"),
            type=kind,
            is_repeated=name.endswith("*"),
            is_bulk="bulk" in rest,
        )
    return MappingProxyType(fields)


MESSAGES: Final[Mapping[str, Mapping[int, Field]]] = MappingProxyType(
    {name: _parse(row) for name, row in _TABLE.items()}
)
"""The fields of each message by their numbers."""
