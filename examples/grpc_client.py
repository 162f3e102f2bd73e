"""Ask a model server for a photo's scores over gRPC, without TensorFlow.

python examples/grpc_client.py examples/sample.jpg [host:port]
"""

from __future__ import annotations

import sys
from pathlib import Path

import grpc

from scenery import wire


def main(photo: str, address: str = "127.0.0.1:8500") -> None:
    """Print each label's score, and the version that gave it."""
    with grpc.insecure_channel(address) as channel:
        predict = channel.unary_unary(
            f"/{wire.PREDICTION_SERVICE}/Predict",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=wire.PredictResponse.FromString,
        )
        describe = wire.PredictRequest(model_spec={"name": "scenery", "signature_name": "describe"})
        labels = predict(describe, timeout=10).outputs["labels"].string_val

        classify = wire.PredictRequest(model_spec={"name": "scenery"})
        image = classify.inputs["image_bytes"]
        image.dtype = wire.enum_values("tensorflow.DataType")["DT_STRING"]
        image.tensor_shape.dim.add(size=1)
        image.string_val.append(Path(photo).read_bytes())
        answer = predict(classify, timeout=10)

    print(f"version {answer.model_spec.version.value}")
    for label, score in zip(labels, answer.outputs["scores"].float_val, strict=True):
        print(f"{label.decode():10} {score:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
