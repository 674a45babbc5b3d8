"""Fuzz the software card: `python -m tests.attacks.fuzz --runs 1000000 --seed 1`."""

import argparse
import faulthandler
import sys
import time

from tests.attacks.fuzz.runner import CORPUS, Found, run, shrunk

HANG = 60


def main() -> int:
    """Send that many APDUs; a finding goes into the corpus, and the exit code is 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="how many APDUs to send")
    parser.add_argument("--seed", type=int, default=1, help="another seed sends others")
    options = parser.parse_args()
    start = reported = time.monotonic()
    sent = 0
    try:
        for sent in run(options.runs, options.seed):
            faulthandler.dump_traceback_later(HANG, exit=True)
            if time.monotonic() > reported + 10:
                reported = time.monotonic()
                sys.stderr.write(f"{sent:,} APDUs in {reported - start:.0f} s\n")
    except Found as found:
        path = CORPUS / f"found-{time.strftime('%Y%m%d-%H%M%S')}.json"
        shrunk(found.finding).write(path)
        sys.stderr.write(f"{found}\nkept as {path}\n")
        return 1
    seconds = time.monotonic() - start
    sys.stdout.write(f"{sent:,} APDUs, {sent / seconds:,.0f}/s, nothing found\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
