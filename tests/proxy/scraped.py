"""A proxy's figures, as Prometheus would read them."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.processes import DEADLINE_SECONDS

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Series = dict[tuple[str, ...], float]


def page(url: str) -> str:
    """GET ``/metrics``."""
    with _OPENER.open(f"{url}/metrics", timeout=DEADLINE_SECONDS) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        return response.read().decode()


def series(text: str, name: str, *labels: str) -> Series:
    """Return each value of a metric, by the values of ``labels``."""
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples if each.name == name]
    return {tuple(each.labels[label] for label in labels): each.value for each in samples}


def photos(text: str) -> Series:
    """Return the photos, by label asked, version and outcome."""
    return series(text, "scenery_photos_total", "version_label", "version", "outcome")


def shadows(text: str) -> Series:
    """Return the shadowed photos, by version that answered, version that was asked as well, and outcome."""
    return series(text, "scenery_shadow_photos_total", "answered", "shadowed", "outcome")


def disagreements(text: str) -> Series:
    """Return the disagreements, by version that answered, version that was asked as well, and label."""
    return series(text, "scenery_shadow_disagreements_total", "answered", "shadowed", "label")
