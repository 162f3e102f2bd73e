"""Ask the proxy with requests, as a program of your own may; nothing of Scenery is imported.

python examples/classify_requests.py http://127.0.0.1:8080 photo.jpg [more.jpg …]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import requests

BUSY = (429, 503)


def classify(session: requests.Session, proxy: str, photos: list[Path], seconds: float = 30) -> list[dict[str, Any]]:
    """Return the answer, or the error, of each photo; raises RuntimeError with the proxy's words if it has neither."""
    url, deadline = f"{proxy}/v1/classify", time.monotonic() + seconds
    while True:
        if len(photos) == 1:  # the quickest way: its bytes are the body
            headers = {"Content-Type": "application/octet-stream"}
            answer = session.post(url, data=photos[0].read_bytes(), headers=headers, timeout=seconds)
        else:
            files = [("file", (photo.name, photo.read_bytes())) for photo in photos]
            answer = session.post(url, files=files, timeout=seconds)
        wait_seconds = float(answer.headers.get("Retry-After", 1))
        if answer.status_code not in BUSY or time.monotonic() + wait_seconds > deadline:
            break
        time.sleep(wait_seconds)
    if answer.headers["Content-Type"].startswith("application/problem+json"):  # RFC 9457
        problem = answer.json()
        raise RuntimeError(f"{problem['status']} {problem['type']}: {problem['detail']}")
    answer.raise_for_status()
    return answer.json()["photos"]


def main(proxy: str, *photos: str) -> None:
    """Print each photo's labels."""
    with requests.Session() as session:  # keeps its connection for the next photos
        for photo, told in zip(photos, classify(session, proxy, [Path(photo) for photo in photos]), strict=True):
            print(photo, told["error"]["detail"] if "error" in told else told["labels"] or "no label")


if __name__ == "__main__":
    main(*sys.argv[1:])
