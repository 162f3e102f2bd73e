"""What the server answers, whichever wire asks: Predict, GetModelStatus, GetModelMetadata."""

from __future__ import annotations

from scenery import wire
from serving.core import ServerCore
from serving.errors import invalid_argument
from serving.predict import predict

SIGNATURE_DEF = "signature_def"


class DataPlane:
    """Answers requests in TF Serving's messages; raises :class:`ServingError` where it cannot."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core
        self.servable = core.servable

    def predict(self, request: wire.PredictRequest) -> wire.PredictResponse:
        """Run a signature of a model."""
        _require_spec(request)
        with self._core.servable(request.model_spec) as (version, model):
            response = predict(model, request)
        response.model_spec.version.value = version
        return response

    def model_status(self, request: wire.GetModelStatusRequest) -> wire.GetModelStatusResponse:
        """Tell the state of a model's versions."""
        _require_spec(request)
        response = wire.GetModelStatusResponse()
        codes = wire.enum_values("tensorflow.error.Code")
        for state in self._core.states(request.model_spec):
            status = response.model_version_status.add(version=state.id.version, state=state.state.value)
            status.status.SetInParent()
            if state.error is not None:
                status.status.error_code = codes[state.error.code]
                status.status.error_message = state.error.message
        return response

    def model_metadata(self, request: wire.GetModelMetadataRequest) -> wire.GetModelMetadataResponse:
        """Tell a model's signatures."""
        _require_spec(request)
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {field} is not supported")
        signatures = wire.SignatureDefMap()
        with self._core.servable(request.model_spec) as (version, model):
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response = wire.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response


def _require_spec(request: wire.PredictRequest) -> None:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
