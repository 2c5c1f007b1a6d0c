"""Reading Caffe's `.caffemodel` files without Caffe.

Such a file is one protobuf message. Decoding it calls nothing that the file names. Of Caffe's own schema
(`caffe.proto`) only the fields that lead to the weights are declared here; whatever else the message has is skipped.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from torch import Tensor

SCHEMA: dict[str, dict[str, tuple[int, int, int | str]]] = {
    "NetParameter": {"layer": (100, Field.LABEL_REPEATED, "LayerParameter")},
    "LayerParameter": {"name": (1, Field.LABEL_OPTIONAL, Field.TYPE_STRING),
                       "blobs": (7, Field.LABEL_REPEATED, "BlobProto")},
    "BlobProto": {"data": (5, Field.LABEL_REPEATED, Field.TYPE_FLOAT),
                  "shape": (7, Field.LABEL_OPTIONAL, "BlobShape")},
    "BlobShape": {"dim": (1, Field.LABEL_REPEATED, Field.TYPE_INT64)},
}
"""Message, field: its number, label, and type or message, as in caffe.proto."""


def read_caffemodel(path: Path) -> dict[str, Tensor]:
    """The blobs of a network's layers as float32: LAYER.0 (of a convolution the weights), LAYER.1 (the biases).

    Raises:
        ValueError, google.protobuf.message.DecodeError: not such a file, a damaged one, or one of before 2014, whose
            layers are stored in another field or whose blobs have no shape.
    """
    network = _message("NetParameter").FromString(path.read_bytes())
    blobs: dict[str, Tensor] = {}
    for layer in network.layer:
        for index, blob in enumerate(layer.blobs):
            name, shape, values = f"{layer.name}.{index}", tuple(blob.shape.dim), np.array(blob.data, np.float32)
            if name in blobs:
                raise ValueError(f"two layers are called '{layer.name}'")
            if min(shape, default=1) < 0 or math.prod(shape) != values.size:
                raise ValueError(f"{values.size} values of '{name}' do not fill a shape of {shape}")
            blobs[name] = torch.from_numpy(values).view(shape)
    return blobs


@cache
def _message(name: str) -> Any:
    """Class of a message of the schema, in a pool of its own: a process may hold Caffe's own as well."""
    file = FileDescriptorProto(name="blobs.proto", package="caffe")
    for message, members in SCHEMA.items():
        declared = file.message_type.add(name=message)
        for member, (number, label, kind) in members.items():
            field = declared.field.add(name=member, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = Field.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                field.type = kind
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))
