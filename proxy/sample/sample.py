"""Some of the answered photos, kept to learn from: chosen and written after the answer, in a thread of their own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from datetime import date, datetime, timezone

from proxy.figures import Figures
from proxy.sample.choice import Answered, Chosen, choose
from proxy.sample.folder import Bounds, Folder
from proxy.settings import Settings
from proxy.waiting import Waiting
from scenery.errors import SceneryError
from scenery.sample import Answer, new_name, text_of

log = logging.getLogger(__name__)

MAX_PHOTOS = 16
MAX_BYTES = 32 * 2**20
"""What may wait, in each worker."""

REST = 9
"""After each photo the thread rests so many times as long as it worked: it has a tenth of a core at most, because
requests wait while it holds Python's lock."""

TIDY_SECONDS = 3600.0
"""How often old photos are looked for, whether new ones come or not."""


class Sample:
    """Keeps photos of one application, in threads that start at once: make it after the fork."""

    def __init__(self, folder: Folder, figures: Figures, margin: float, uniform_percent: float) -> None:
        """Start to tidy the folder, and to wait for photos.

        Parameters
        ----------
        figures
            Counts what became of the chosen photos.
        margin
            How unsure a photo must be to be kept, in [0, 1]; see :func:`scenery.sample.sureness`.
        uniform_percent
            Of all photos, kept whatever their scores, in [0, 100].
        """
        self._folder = folder
        self._figures = figures
        self._margin = margin
        self._uniform_percent = uniform_percent
        self._waiting: Waiting[Chosen] = Waiting(MAX_PHOTOS, MAX_BYTES)
        self._has_failed = False
        for work in (self._keep_all, self._tidy_always):
            threading.Thread(target=work, name=f"sample{work.__name__}", daemon=True).start()

    def offer(self, photos: Iterable[Answered]) -> None:
        """Leave photos to be chosen from; chosen ones that do not fit are dropped. Returns at once."""
        for photo in photos:
            chosen = choose(photo, self._margin, self._uniform_percent)
            if chosen is not None and not self._waiting.put(chosen):
                self._figures.sampled(chosen.reason, "dropped")

    def _keep_all(self) -> None:
        while True:
            chosen = self._waiting.take()
            begun = time.thread_time()
            self._figures.sampled(chosen.reason, self._keep(chosen))
            time.sleep(REST * (time.thread_time() - begun))

    def _keep(self, chosen: Chosen) -> str:
        """Keep a photo; returns what became of it."""
        from proxy.sample.picture import made_small  # 9 MB that only this thread needs

        try:
            name = new_name(_today(), chosen.reason)
            if not self._folder.has_room(name):
                return "passed-over"
            try:
                picture = made_small(chosen.photo)
            except Exception as error:
                # Whatever the decoder makes of a photo, the thread goes on to the next one.
                log.debug("A photo cannot be made small: %r", error)
                return "unreadable"
            told = Answer(chosen.version, chosen.labelling.scores, chosen.labelling.thresholds)
            outcome = self._folder.add(name, picture, text_of(told))
        except (OSError, SceneryError) as error:
            self._fail(error)
            return "failed"
        self._has_failed = False
        return outcome

    def _tidy_always(self) -> None:
        while True:
            try:
                self._folder.tidy(_today())
            except (OSError, SceneryError) as error:
                self._fail(error)
            time.sleep(TIDY_SECONDS)

    def _fail(self, error: Exception) -> None:
        """Tell of a folder that cannot be used, once until it can be again."""
        if not self._has_failed:
            log.warning("Photos cannot be kept or removed; requests are answered all the same: %s", error)
        self._has_failed = True


def make_sample(settings: Settings, figures: Figures) -> Sample | None:
    """Make the sample that the settings ask for; None if they ask for none."""
    if settings.sample_folder is None:
        return None
    bounds = Bounds(settings.sample_max_photos, settings.sample_max_megabytes * 10**6, settings.sample_days)
    folder = Folder(settings.sample_folder, bounds)
    return Sample(folder, figures, settings.sample_margin, settings.sample_uniform_percent)


def _today() -> date:
    return datetime.now(timezone.utc).date()
