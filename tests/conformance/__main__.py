"""Play the recorded scenarios, several at a time: ``python -m tests.conformance --help``."""

from __future__ import annotations

import argparse
import fnmatch
import json
import shlex
import sys
import tempfile
from pathlib import Path

from tests.conformance.check import load
from tests.conformance.runs import SERVER, build_models, differences, play_all

CASES = Path(__file__).parent / "cases"


def main() -> int:
    """Play and report; returns 1 if a call failed that is not a known difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--server", default=shlex.join(SERVER), help="Command of the server; the embedded one.")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="Names of scenarios or themes, as in a shell.")
    parser.add_argument("--jobs", type=int, default=3, help="How many scenarios run at a time.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write every result to a file, too.")
    options = parser.parse_args()
    chosen = [
        scenario
        for scenario in load(CASES)
        if fnmatch.fnmatch(scenario["scenario"], options.only) or fnmatch.fnmatch(scenario["theme"], options.only)
    ]
    known = differences()
    results = []
    with tempfile.TemporaryDirectory(prefix="tfs-models-") as store:
        build_models(Path(store))
        for number, (scenario, found) in enumerate(
            play_all(chosen, shlex.split(options.server), Path(store), options.jobs), 1
        ):
            results += found
            failed = sum(not result["passed"] for result in found)
            print(f"[{number}/{len(chosen)}] {scenario['scenario']}: {len(found) - failed} of {len(found)}", flush=True)
    failures = [result for result in results if not result["passed"]]
    unknown = 0
    for result in failures:
        reason = next((each.reason for each in known if each.explains(result)), None)
        unknown += reason is None
        print(f"{'KNOWN' if reason else 'FAIL '} {result['call']}: {reason or '; '.join(result['differences'])}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    passed = len(results) - len(failures)
    print(f"{passed} passed, {len(failures) - unknown} known differences, {unknown} failed")
    return 1 if unknown or not results else 0


if __name__ == "__main__":
    sys.exit(main())
