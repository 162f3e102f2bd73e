"""The web page at ``/``: drop photos, see their labels. Plain files, and no more than one page of each.

They name everything relative to where the page is, so it works below a path too. Browsers keep them and ask
each time whether they changed: a new version of the proxy shows at the next look.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, request, send_from_directory

from proxy.parts import parts

_KEPT = "<!-- kept -->"
"""Where the page says that photos are kept, if any are."""

blueprint = Blueprint("page", __name__, static_folder="static", static_url_path="/page")


@blueprint.get("/")
def index() -> Response:
    """Return the page; its scripts, style and icon are below ``/page/``."""
    settings = parts().settings
    if settings.sample_folder is None:
        return send_from_directory(blueprint.root_path, "index.html")
    return _page_of_sampling(settings.sample_days)


def _page_of_sampling(days: int) -> Response:
    index, kept = ((Path(blueprint.root_path) / name).read_text("utf-8") for name in ("index.html", "kept.html"))
    said = kept.format(days="a day" if days == 1 else f"{days} days").strip()
    response = Response(index.replace(_KEPT, said), content_type="text/html; charset=utf-8")
    response.cache_control.no_cache = True
    response.add_etag()
    response.make_conditional(request)
    return response
