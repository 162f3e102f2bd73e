"""TF Serving's messages and services, without importing TensorFlow.

The classes are built at run time from ``descriptors.binpb``, which ``scripts/wire_descriptors.py``
writes from the ``tensorflow-serving-api`` package. They live in a descriptor pool of their own,
so TensorFlow's classes of the same names may be in the same process; the two do not mix, but
their bytes are the same.

Importing ``tensorflow_serving.apis`` instead would import TensorFlow: seconds and half a
gigabyte for a client that needs neither.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def _load_pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    descriptors = descriptor_pb2.FileDescriptorSet.FromString((files(__name__) / "descriptors.binpb").read_bytes())
    for file in descriptors.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


pool = _load_pool()


def message_class(full_name: str) -> Any:
    """Return the class of a message, such as ``tensorflow.serving.PredictRequest``.

    Raises
    ------
    KeyError
        If the descriptor set has no such message.
    """
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))


TensorProto = message_class("tensorflow.TensorProto")
SignatureDef = message_class("tensorflow.SignatureDef")
MetaGraphDef = message_class("tensorflow.MetaGraphDef")
ConfigProto = message_class("tensorflow.ConfigProto")
RunOptions = message_class("tensorflow.RunOptions")
Feature = message_class("tensorflow.Feature")
Example = message_class("tensorflow.Example")

ModelSpec = message_class("tensorflow.serving.ModelSpec")
Input = message_class("tensorflow.serving.Input")
PredictRequest = message_class("tensorflow.serving.PredictRequest")
PredictResponse = message_class("tensorflow.serving.PredictResponse")
ClassificationRequest = message_class("tensorflow.serving.ClassificationRequest")
ClassificationResponse = message_class("tensorflow.serving.ClassificationResponse")
ClassificationResult = message_class("tensorflow.serving.ClassificationResult")
RegressionRequest = message_class("tensorflow.serving.RegressionRequest")
RegressionResponse = message_class("tensorflow.serving.RegressionResponse")
RegressionResult = message_class("tensorflow.serving.RegressionResult")
InferenceTask = message_class("tensorflow.serving.InferenceTask")
MultiInferenceRequest = message_class("tensorflow.serving.MultiInferenceRequest")
MultiInferenceResponse = message_class("tensorflow.serving.MultiInferenceResponse")
GetModelStatusRequest = message_class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message_class("tensorflow.serving.GetModelStatusResponse")
ModelVersionStatus = message_class("tensorflow.serving.ModelVersionStatus")
GetModelMetadataRequest = message_class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message_class("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap = message_class("tensorflow.serving.SignatureDefMap")
ReloadConfigRequest = message_class("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = message_class("tensorflow.serving.ReloadConfigResponse")
ModelConfig = message_class("tensorflow.serving.ModelConfig")
ModelServerConfig = message_class("tensorflow.serving.ModelServerConfig")
PrometheusConfig = message_class("tensorflow.serving.PrometheusConfig")
MonitoringConfig = message_class("tensorflow.serving.MonitoringConfig")
SSLConfig = message_class("tensorflow.serving.SSLConfig")
BatchingParameters = message_class("tensorflow.serving.BatchingParameters")
PredictionLog = message_class("tensorflow.serving.PredictionLog")

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"


def enum_values(full_name: str) -> dict[str, int]:
    """Return the names and numbers of an enum, such as ``tensorflow.DataType``."""
    return {value.name: value.number for value in pool.FindEnumTypeByName(full_name).values}
