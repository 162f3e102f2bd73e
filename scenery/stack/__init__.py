"""Everything on one machine: a model server and the proxy, started and stopped together.

It starts other programs and talks to them over HTTP; it imports no stage.
"""
