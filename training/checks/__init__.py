"""A table of photos, checked before it is trained on."""
