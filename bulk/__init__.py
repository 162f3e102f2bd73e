"""Scores for stored photos, however many: an Apache Beam pipeline around a version or a model server."""
