"""Ask a model server for a photo's scores over gRPC, without TensorFlow.

python examples/grpc_client.py examples/sample.jpg [host:port]
"""

from __future__ import annotations

import sys
from pathlib import Path

import grpc

from scenery import wire

SECONDS = 10


def main(photo: str, address: str = "127.0.0.1:8500") -> None:
    """Print the version that answered, each label's score, and whether the photo has the label."""
    classify = wire.PredictRequest(model_spec={"name": "scenery"})
    image = classify.inputs["image_bytes"]
    image.dtype = wire.enum_values("tensorflow.DataType")["DT_STRING"]
    image.tensor_shape.dim.add(size=1)
    image.string_val.append(Path(photo).read_bytes())

    with grpc.insecure_channel(address) as channel:
        predict = channel.unary_unary(
            f"/{wire.PREDICTION_SERVICE}/Predict",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=wire.PredictResponse.FromString,
        )
        answer = predict(classify, timeout=SECONDS)
        # Labels and thresholds of the version that answered: the next one may have others.
        describe = wire.PredictRequest(model_spec={"name": "scenery", "signature_name": "describe"})
        describe.model_spec.version.value = answer.model_spec.version.value
        description = predict(describe, timeout=SECONDS).outputs

    print(f"version {answer.model_spec.version.value}")
    labels, thresholds = description["labels"].string_val, description["thresholds"].float_val
    for label, threshold, score in zip(labels, thresholds, answer.outputs["scores"].float_val, strict=True):
        print(f"{label.decode():10} {score:.3f}  {'yes' if score >= threshold else 'no'}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
