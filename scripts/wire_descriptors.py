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
    """Serialize the file descriptors of TF Serving's API, each after those it depends on."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from tensorflow_serving.apis import model_service_pb2, prediction_log_pb2, prediction_service_pb2
    from tensorflow_serving.config import model_server_config_pb2

    files: dict[str, Any] = {}

    def visit(file: Any) -> None:
        for dependency in sorted(file.dependencies, key=lambda dependency: dependency.name):
            visit(dependency)
        files.setdefault(file.name, file)

    for module in (prediction_service_pb2, model_service_pb2, prediction_log_pb2, model_server_config_pb2):
        visit(module.DESCRIPTOR)
    descriptors = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(descriptors.file.add())
    return descriptors.SerializeToString(deterministic=True)


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
