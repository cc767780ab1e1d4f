"""Standard TFLite Metadata, so that other programs know the labels and the normalization too.

The layout is that of metadata_schema.fbs (tensorflow/tflite-support). No maintained package writes it, so the part
of the schema that an image classifier needs stands here as a table, and one function packs a dictionary by it.
"""

from typing import Any

import flatbuffers

from convert.graph import Graph, schema
from edge.model.contract import LABELS_FILE, ModelSpec

# Table to its fields in the order of the schema: name and kind. "[x]" is a vector, "|" a union (which takes two
# places), and a name of this table another table. Fields at the end that are never written are left out.
TABLES: dict[str, tuple[tuple[str, str], ...]] = {
    "ModelMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("version", "string"),
        ("subgraph_metadata", "[SubGraphMetadata]"),
        ("author", "string"),
        ("license", "string"),
        ("associated_files", "[AssociatedFile]"),
        ("min_parser_version", "string"),
    ),
    "SubGraphMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("input_tensor_metadata", "[TensorMetadata]"),
        ("output_tensor_metadata", "[TensorMetadata]"),
    ),
    "TensorMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("dimension_names", "[string]"),
        ("content", "Content"),
        ("process_units", "[ProcessUnit]"),
        ("stats", "Stats"),
        ("associated_files", "[AssociatedFile]"),
    ),
    "Content": (("content_properties", "|"),),
    "FeatureProperties": (),
    "ImageProperties": (("color_space", "byte"), ("default_size", "ImageSize")),
    "ImageSize": (("width", "uint"), ("height", "uint")),
    "ProcessUnit": (("options", "|"),),
    "NormalizationOptions": (("mean", "[float]"), ("std", "[float]")),
    "Stats": (("max", "[float]"), ("min", "[float]")),
    "AssociatedFile": (("name", "string"), ("description", "string"), ("type", "byte")),
}
# The number of a table within its union.
UNION_TYPES = {"FeatureProperties": 1, "ImageProperties": 2, "NormalizationOptions": 1}
RGB = 1  # ColorSpaceType
TENSOR_AXIS_LABELS = 2  # AssociatedFileType
IDENTIFIER = b"M001"
BUFFER_NAME = b"TFLITE_METADATA"
MIN_PARSER_VERSION = "1.0.0"


def add_metadata(graph: bytes, spec: ModelSpec) -> bytes:
    """Put the standard metadata of an image classifier into the flatbuffer of a model."""
    written = Graph(graph)
    model = written.model
    buffer = schema.BufferT()
    buffer.data = metadata(spec)
    entry = schema.MetadataT()
    entry.name, entry.buffer = BUFFER_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(each for each in model.metadata or [] if each.name != BUFFER_NAME), entry]
    return written.pack()


def metadata(spec: ModelSpec) -> bytes:
    """The metadata flatbuffer that says what a `ModelSpec` says, as far as the standard has words for it."""
    lowest = min((0 - mean) / std for mean, std in zip(spec.mean, spec.std, strict=True))
    highest = max((255 - mean) / std for mean, std in zip(spec.mean, spec.std, strict=True))
    image = {
        "name": "image",
        "description": f"RGB picture, resized by: {spec.resize}",
        "content": {
            "content_properties": (
                "ImageProperties",
                {"color_space": RGB, "default_size": {"width": spec.size[1], "height": spec.size[0]}},
            )
        },
        "process_units": [{"options": ("NormalizationOptions", {"mean": spec.mean, "std": spec.std})}],
        "stats": {"max": [highest], "min": [lowest]},
    }
    scores = {
        "name": "scores",
        "description": "one score per label",
        "content": {"content_properties": ("FeatureProperties", {})},
        "stats": {"max": [1.0], "min": [0.0]},
        "associated_files": [{"name": LABELS_FILE, "description": "the labels", "type": TENSOR_AXIS_LABELS}],
    }
    value = {
        "name": "FrostLite image classifier",
        "description": f"{spec.backbone} ({spec.scheme}): {', '.join(spec.labels)}",
        "author": "FrostLite",
        "subgraph_metadata": [{"input_tensor_metadata": [image], "output_tensor_metadata": [scores]}],
        "min_parser_version": MIN_PARSER_VERSION,
    }
    builder = flatbuffers.Builder(1024)
    builder.Finish(_pack(builder, "ModelMetadata", value), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _pack(builder: flatbuffers.Builder, table: str, value: dict[str, Any]) -> int:
    """Pack a dictionary as a table: what it refers to first, as flatbuffers want it, then its own fields."""
    places = []
    place = 0
    for name, kind in TABLES[table]:
        if name in value:
            if kind == "|":
                inner, content = value[name]
                places += [
                    (place, "byte", UNION_TYPES[inner]),
                    (place + 1, "offset", _pack(builder, inner, content)),
                ]
            elif kind in _SCALARS:
                places.append((place, kind, value[name]))
            else:
                places.append((place, "offset", _pack_value(builder, kind, value[name])))
        place += 2 if kind == "|" else 1
    builder.StartObject(place)
    for place, kind, item in places:
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(place, item, 0)
        else:
            _SCALARS[kind](builder, place, item)
    return builder.EndObject()


_SCALARS = {
    "byte": lambda builder, place, value: builder.PrependInt8Slot(place, value, 0),
    "uint": lambda builder, place, value: builder.PrependUint32Slot(place, value, 0),
}


def _pack_value(builder: flatbuffers.Builder, kind: str, value: Any) -> int:
    if kind == "string":
        return builder.CreateString(value)
    if not kind.startswith("["):
        return _pack(builder, kind, value)
    if kind == "[float]":
        builder.StartVector(4, len(value), 4)
        for item in reversed(value):
            builder.PrependFloat32(item)
    else:
        offsets = [_pack_value(builder, kind[1:-1], item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
