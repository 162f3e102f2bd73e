"""``python -m scenery``: the same as the ``scenery`` command."""

from scenery.cli import main

main()
