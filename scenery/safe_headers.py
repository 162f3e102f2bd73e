"""Headers that keep browsers from doing more with an answer than it is for; every page of Scenery has them."""

from __future__ import annotations

from typing import Final

POLICY: Final = "Content-Security-Policy"


def safe_headers(images: str = "'self'", forms: str = "'none'", inline: bool = False) -> dict[str, str]:
    """Return the headers of an answer.

    Source: OWASP's HTTP Headers Cheat Sheet.

    Parameters
    ----------
    images, forms
        Where pictures may come from, and where forms may be sent to, as the policy names sources.
    inline
        Whether pages may have scripts and styles inside.
    """
    code = "'self' 'unsafe-inline'" if inline else "'self'"
    return {
        POLICY: f"default-src 'none'; script-src {code}; style-src {code}; img-src {images}; "
        f"connect-src 'self'; base-uri 'none'; form-action {forms}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
