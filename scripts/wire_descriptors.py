"""Write scenery/wire/descriptors.binpb from the installed tensorflow-serving-api.

    python scripts/wire_descriptors.py            write the file
    python scripts/wire_descriptors.py --check    exit 1 if it is not what would be written

Run it after raising the version of tensorflow-serving-api. It imports TensorFlow.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "scenery" / "wire" / "descriptors.binpb"


def collect() -> bytes:
    """Serialize the file descriptors of TF Serving's API and settings, each after those it depends on."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from tensorflow.core.protobuf import config_pb2
    from tensorflow_serving.apis import model_service_pb2, prediction_log_pb2, prediction_service_pb2
    from tensorflow_serving.config import model_server_config_pb2

    files: dict[str, Any] = {}

    def visit(file: Any) -> None:
        for dependency in sorted(file.dependencies, key=lambda dependency: dependency.name):
            visit(dependency)
        files.setdefault(file.name, file)

    modules = (prediction_service_pb2, model_service_pb2, prediction_log_pb2, model_server_config_pb2, config_pb2)
    for module in modules:
        visit(module.DESCRIPTOR)
    descriptors = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(descriptors.file.add())
    add_settings(descriptors.file.add())
    return descriptors.SerializeToString(deterministic=True)


SETTINGS = {
    "PrometheusConfig": {1: "bool enable", 2: "string path"},
    "MonitoringConfig": {1: "PrometheusConfig prometheus_config"},
    "SSLConfig": {1: "string server_key", 2: "string server_cert", 3: "string custom_ca", 4: "bool client_verify"},
    "BatchingParameters": {
        1: "Int64Value max_batch_size",
        2: "Int64Value batch_timeout_micros",
        3: "Int64Value max_enqueued_batches",
        4: "Int64Value num_batch_threads",
        5: "StringValue thread_pool_name",
        6: "repeated int64 allowed_batch_sizes",
        7: "bool pad_variable_length_inputs",
        8: "BoolValue enable_large_batch_splitting",
        9: "Int64Value max_execution_batch_size",
    },
}
"""Messages of the files that flags name, which tensorflow-serving-api does not hold.

Source: monitoring_config.proto, ssl_config.proto and session_bundle_config.proto of TensorFlow Serving 2.21.
"""


def add_settings(file: Any) -> None:
    """Describe the messages of :data:`SETTINGS`."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

    scalars = {"bool": Field.TYPE_BOOL, "string": Field.TYPE_STRING, "int64": Field.TYPE_INT64}
    file.name, file.package, file.syntax = "scenery/settings.proto", "tensorflow.serving", "proto3"
    file.dependency.append("google/protobuf/wrappers.proto")
    for name, fields in SETTINGS.items():
        message = file.message_type.add(name=name)
        for number, declaration in fields.items():
            *repeated, kind, field_name = declaration.split()
            field = message.field.add(name=field_name, number=number)
            field.label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
            if kind in scalars:
                field.type = scalars[kind]
            else:
                package = "tensorflow.serving" if kind in SETTINGS else "google.protobuf"
                field.type, field.type_name = Field.TYPE_MESSAGE, f".{package}.{kind}"


def main() -> int:
    """Write or check the file; returns the exit status."""
    content = collect()
    if "--check" not in sys.argv:
        TARGET.write_bytes(content)
        return 0
    if TARGET.read_bytes() == content:
        return 0
    print(f"{TARGET.name} is not what tensorflow-serving-api gives. Run: python scripts/wire_descriptors.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
