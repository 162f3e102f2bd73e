"""How many photos a second ``scenery score`` writes, as a ratio to the version called without Beam.

The limit is the same version and the same photos, a thread a core, in a process that does nothing else. Both
take turns, each in a process of its own. Told are the ratio of photos a second, TensorFlow's start and the model's
load among them, that of whole processes, with Beam's start and the search for photos, and that of their CPU
seconds, which other users of the machine change least.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.server import SHIPPED

PHOTOS = Path("examples/photos/images")
CORES = len(os.sched_getaffinity(0))


def main() -> None:
    """Measure and print; ``--json`` for scripts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=8000, help="In each run; the shipped ones, over and over.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part-photos", type=int, default=500)
    parser.add_argument("--json", action="store_true", help="Print photos per second and ratios as JSON.")
    arguments = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as work:
        photos = spread(Path(work), arguments.photos)
        for number in range(arguments.rounds):
            rounds.append(measure(photos, Path(work, f"{number}.parquet"), arguments.part_photos, number % 2 == 0))
            print(json.dumps(rounds[-1]), file=sys.stderr)
    if arguments.json:
        print(json.dumps(rounds))
        return
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        print(f"{name:32} median {statistics.median(values):8.3f}   {min(values):.3f} to {max(values):.3f}")


def spread(work: Path, count: int) -> Path:
    """Link the shipped photos into a folder until it has so many."""
    folder = work / "photos"
    folder.mkdir()
    shipped = sorted(PHOTOS.resolve().iterdir())
    for number in range(count):
        (folder / f"{number:06}.jpg").symlink_to(shipped[number % len(shipped)])
    return folder


def measure(photos: Path, output: Path, part_photos: int, limit_first: bool) -> dict[str, float]:
    """Run both, one after the other; returns photos a second and ratios."""
    told: dict[str, dict[str, float]] = {}
    for contender in (limit, command) if limit_first else (command, limit):
        begun, cpu_begun = time.perf_counter(), cpu_seconds()
        rate = contender(photos, output, part_photos)
        seconds = time.perf_counter() - begun
        told[contender.__name__] = {"rate": rate, "seconds": seconds, "cpu": cpu_seconds() - cpu_begun}
    return {
        "limit, photos/s": told["limit"]["rate"],
        "scenery score, photos/s": told["command"]["rate"],
        "ratio of photos/s": told["command"]["rate"] / told["limit"]["rate"],
        "ratio of whole processes": told["limit"]["seconds"] / told["command"]["seconds"],
        "ratio of CPU seconds": told["limit"]["cpu"] / told["command"]["cpu"],
    }


def cpu_seconds() -> float:
    """Return the CPU seconds of all processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def limit(photos: Path, _: Path, __: int) -> float:
    """Call the version from a thread a core, in a process of its own."""
    code = f"from benchmarks.bulk import call; call({str(photos)!r})"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def call(photos: str) -> None:
    """Print photos a second, read and scored by a bare callable of the session, its load included."""
    begun = time.perf_counter()
    from scenery import contract
    from scenery.loaded import LoadedVersion

    with LoadedVersion(Path(SHIPPED)) as loaded:
        signature = loaded.signatures[contract.SIGNATURE_CLASSIFY]
        scores = signature.outputs[contract.OUTPUT_SCORES].name
        classify = loaded.session.make_callable(scores, [signature.inputs[contract.INPUT_IMAGE_BYTES].name])
        files = sorted(Path(photos).iterdir())
        with ThreadPoolExecutor(CORES) as pool:
            scored = sum(len(each) for each in pool.map(lambda file: classify([file.read_bytes()]), files))
    print(scored / (time.perf_counter() - begun))


def command(photos: Path, output: Path, part_photos: int) -> float:
    """Run the command; returns the photos a second that it tells."""
    run = [sys.executable, "-m", "scenery", "score", str(photos), "--output", str(output), "--model", str(SHIPPED)]
    run += ["--part-photos", str(part_photos), "--json"]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["photos_per_second"])


if __name__ == "__main__":
    main()
