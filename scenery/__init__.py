"""Scenery's shared kernel: names, errors, version folders, wire messages, preprocessing, the command line."""
