"""The codec against independent ones: ``python -m tests.oracles``.

Outgoing: what a writer makes is read by every oracle that is there. Incoming: what independent encoders make is read by
a reader. Both are ``appliance.sms`` unless told otherwise: any command that speaks the lines of ``lines.py`` can be put
in its place, and is then also held against ``appliance.sms`` itself. Ends with 1 where there is a difference that is
not a known fault of the other side, or where no oracle could read.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import Counter

from tests.oracles import cast
from tests.oracles.judge import Line, Verdict, judge
from tests.oracles.wishes import texts, wishes

_SHOWN = 12


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracles", description=__doc__)
    parser.add_argument(
        "--texts", type=int, default=2100, help="how many texts the writer is given (default: %(default)s)"
    )
    parser.add_argument(
        "--deliveries",
        type=int,
        default=500,
        help="how many SMS-DELIVER, and how many SMS-SUBMIT, each encoder is asked for",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--writer", help="a command that writes records, instead of ours")
    parser.add_argument("--reader", help="a command that answers records, instead of ours")
    parser.add_argument("--no-fetch", action="store_true", help="install nothing; use what is there")
    arguments = parser.parse_args()
    if not arguments.no_fetch:
        cast.fetch()
    seeded = ("--texts", str(arguments.texts), "--seed", str(arguments.seed))
    ours = (sys.executable, "-m", "tests.oracles.write_modemhub", *seeded)
    writer = shlex.split(arguments.writer) if arguments.writer else ours
    our_reader = (sys.executable, "-m", "tests.oracles.read_modemhub")
    reader = shlex.split(arguments.reader) if arguments.reader else our_reader
    both = not (arguments.writer or arguments.reader)
    verdicts: list[Verdict] = []
    enough = True
    if both or arguments.writer:
        records = cast.run(writer, texts(arguments.texts, arguments.seed) if arguments.writer else ())
        verdicts += outgoing(records)
        enough = covered(records, verdicts)
        if arguments.writer:
            verdicts.append(judge("read by modemhub", "modemhub", records, cast.run(our_reader, records)))
            say(f"  {verdicts[-1].line()}")
    if both or arguments.reader:
        verdicts += incoming(reader, arguments.deliveries, arguments.seed)
    if arguments.reader:
        records = cast.run(ours, ())
        verdicts.append(judge("written by modemhub", "modemhub", records, cast.run(reader, records)))
        say(f"  {verdicts[-1].line()}")
    for verdict in verdicts:
        for record, found in verdict.differences[:_SHOWN]:
            say(f"{verdict.name}:\n  claimed {record}\n  read    {found}")
    differing = sum(len(verdict.differences) for verdict in verdicts)
    say(f"{differing} differences that are not a known fault of the other side")
    return 0 if enough and not differing else 1


def outgoing(records: list[Line]) -> list[Verdict]:
    """What every oracle says to these records."""
    say(f"{len(records)} TPDUs written")
    verdicts = []
    for member in cast.READERS:
        if (why := member.missing()) is not None:
            say(f"  {member.name}: left out, {why}")
            continue
        verdict = judge(f"read by {member.name}", member.name, records, member.run(records))
        verdicts.append(verdict)
        say(f"  {verdict.line()}")
    return verdicts


def covered(records: list[Line], verdicts: list[Verdict]) -> bool:
    """Whether each TPDU was read by two oracles and found to be what it was claimed to be."""
    counts = Counter(number for verdict in verdicts for number in verdict.agreed)
    by_count = Counter(min(counts[record["id"]], 2) for record in records)
    say(f"  agreed on by two or more: {by_count[2]}, by one: {by_count[1]}, by none: {by_count[0]}")
    return by_count[0] == 0


def incoming(reader: tuple[str, ...] | list[str], count: int, seed: int) -> list[Verdict]:
    """What the reader makes of the TPDUs of every independent encoder."""
    verdicts = []
    for member in cast.WRITERS:
        if (why := member.missing()) is not None:
            say(f"  {member.name}: left out, {why}")
            continue
        records = member.run([*wishes(count, seed), *wishes(count, seed + 1, first=count, submit=True)])
        verdict = judge(f"written by {member.name}", member.name, records, cast.run(reader, records))
        verdicts.append(verdict)
        say(f"  {verdict.line()}")
    return verdicts


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
