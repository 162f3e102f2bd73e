"""The TensorFlow runtime through its C API: what the model server needs of it, and no more."""
