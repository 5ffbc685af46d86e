"""``python -m hil.bench [--only NAME …] [--scale F] [--json]``: measure, and print the table of figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from hil.bench.figures import Figure, table
from hil.bench.measures import MEASURES
from hil.rig import mosquitto_path


def main() -> int:
    """Measure; exit code 1 when a measure could not be taken."""
    parser = argparse.ArgumentParser(prog="python -m hil.bench", description="Measure the hub on emulated modems.")
    parser.add_argument("--only", action="append", choices=list(MEASURES), metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="F", help="counts and times are multiplied by F (1)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON array instead of the table")
    options = parser.parse_args()
    if mosquitto_path() is None:
        print("mosquitto is not installed: apt install mosquitto", file=sys.stderr)
        return 1
    figures: list[Figure] = []
    failed = False
    for name in options.only or MEASURES:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="modemhub-bench-") as directory:
            try:
                figures += asyncio.run(MEASURES[name](Path(directory), scale=options.scale))
            except AssertionError as error:
                print(f"{name} could not be measured: {error}", file=sys.stderr)
                failed = True
    print(json.dumps([asdict(figure) for figure in figures], indent=2) if options.json else table(figures))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
