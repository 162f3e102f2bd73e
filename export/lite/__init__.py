"""A network as ``model.tflite``, beside the SavedModel: for LiteRT, in float32 or int8 (ADR 22)."""
