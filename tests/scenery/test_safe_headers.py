"""The headers of every page."""

from __future__ import annotations

from scenery.safe_headers import POLICY, safe_headers


def test_a_page_may_do_what_it_is_told_and_no_more():
    """Without words of its own a page has nothing from elsewhere, nothing inside, and sends no form."""
    plain = safe_headers()
    assert "'unsafe-inline'" not in plain[POLICY]
    assert "form-action 'none'" in plain[POLICY]
    wider = safe_headers(images="'self' data:", forms="'self'", inline=True)
    assert "img-src 'self' data:; " in wider[POLICY]
    assert "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " in wider[POLICY]
    assert {name: value for name, value in plain.items() if name != POLICY}.items() <= wider.items()
