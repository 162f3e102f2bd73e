"""The web page at ``/``: drop photos, see their labels. Plain files, and no more than one page of each.

They name everything relative to where the page is, so it works below a path too. Browsers keep them and ask
each time whether they changed: a new version of the proxy shows at the next look.
"""

from __future__ import annotations

from flask import Blueprint, Response, send_from_directory

blueprint = Blueprint("page", __name__, static_folder="static", static_url_path="/page")


@blueprint.get("/")
def index() -> Response:
    """Return the page; its scripts, style and icon are below ``/page/``."""
    return send_from_directory(blueprint.root_path, "index.html")
