"""The power cut in its long form: ``python -m tests.store.powercut --transactions N``.

Prints, for the product and for each control, how many verbs were acknowledged with how many syncs of the WAL; at how
many points the power was cut, and how many different disks that left; how many cuts were bad, and in what way; and the
most promises that one cut lost. Ends with 1 when the product broke any promise, or when a control broke none: then the
experiment proves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.store.powercut import trace
from tests.store.powercut.experiment import Model, Store, cut, in_memory, live
from tests.store.powercut.judge import Kind
from tests.store.powercut.trace import Synced

_TITLES = ("store", "model", "acks", "syncs", "cuts", "disks", "bad", "lost", "corrupt", "impossible", "worst")
_COLUMNS = "{:<8}{:<8}{:>6}{:>7}{:>7}{:>7}{:>7}{:>7}{:>9}{:>12}{:>7}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.store.powercut", description=__doc__)
    parser.add_argument(
        "--transactions", type=int, default=1500, help="verbs to be acknowledged (default: %(default)s)"
    )
    parser.add_argument("--every", type=int, default=10, help="also cut after each n-th call (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the torn disks")
    parser.add_argument("--store", type=Store, choices=list(Store), action="append", help="only this one (repeatable)")
    parser.add_argument("--controls", type=int, default=400, help="as --transactions, of each control")
    arguments = parser.parse_args()
    if (why := trace.obstacle()) is not None:
        say(why)
        return 2
    say(_COLUMNS.format(*_TITLES))
    proven = True
    for store in arguments.store or Store:
        with tempfile.TemporaryDirectory(prefix="powercut-", dir=in_memory()) as name:
            scratch = Path(name)
            right = store == Store.FULL
            life = live(store, scratch, transactions=arguments.transactions if right else arguments.controls)
            for model in Model:
                tally = asyncio.run(
                    cut(life.steps, model, scratch, every=arguments.every if right else 200, seed=arguments.seed)
                )
                say(
                    _COLUMNS.format(
                        store,
                        model,
                        life.said("ACK"),
                        life.count(Synced, "hub.db-wal"),
                        tally.cuts,
                        tally.disks,
                        tally.bad,
                        *(tally.breached[kind] for kind in (Kind.LOST, Kind.CORRUPT, Kind.IMPOSSIBLE)),
                        tally.worst,
                    )
                )
                if right:
                    for line in tally.shown:
                        say(f"  {line}")
                proven = proven and (tally.bad == 0) == right
    return 0 if proven else 1


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
