"""A canary that is watched: promoted if it is as good as the stable version, else taken back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rollout.figures import Figures, Samples, added, figures_of, increase, read_page
from rollout.judgement import OFTEN, Comparison, Limits, failures, judge
from rollout.labels import CANARY, STABLE
from scenery.errors import RolloutError

LOOK_SECONDS = 1.0
_SILENT_SECONDS = 10.0
"""How long a proxy may be silent before its figures count as lost."""


@dataclass(frozen=True)
class Decision:
    """What follows from watching."""

    promote: bool
    why: str
    comparisons: list[Comparison]


class Watch:
    """Proxies' figures from one moment on."""

    def __init__(self, proxies: Sequence[str], limits: Limits) -> None:
        """Begin to count; raises :class:`RolloutError` if a proxy does not tell its figures."""
        self._limits = limits
        self._latest = {proxy: read_page(proxy) for proxy in proxies}
        self._counted: Samples = {}

    def decide(self, seconds: float, progress: Callable[[float], None] = lambda _: None) -> Decision:
        """Watch for ``seconds``, or until the canary fails too often, and decide.

        Parameters
        ----------
        progress
            Called with the seconds that went by since its last call.
        """
        looked = heard = time.monotonic()
        end = looked + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(LOOK_SECONDS, left))
            progress(time.monotonic() - looked)
            looked = time.monotonic()
            try:
                self._look()
            except RolloutError as error:
                if looked - heard > _SILENT_SECONDS:
                    return Decision(False, str(error), self._judge())
                continue
            heard = looked
            failed = failures(*self._figures(), self._limits, OFTEN)
            if not failed.fine:
                return Decision(False, f"failed: {failed.detail}", self._judge())
        comparisons = self._judge()
        bad = [f"{each.name}: {each.detail}" for each in comparisons if not each.fine]
        return Decision(not bad, "; ".join(bad) or f"nothing is worse after {seconds:g} s", comparisons)

    def _look(self) -> None:
        for proxy, before in self._latest.items():
            self._latest[proxy] = read_page(proxy)
            self._counted = added([self._counted, increase(before, self._latest[proxy])])

    def _figures(self) -> tuple[Figures, Figures]:
        return figures_of(self._counted, STABLE), figures_of(self._counted, CANARY)

    def _judge(self) -> list[Comparison]:
        return judge(*self._figures(), self._limits)
