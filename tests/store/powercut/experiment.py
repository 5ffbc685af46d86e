"""One experiment: a traced life of the hub's store, cut at many points, reopened and judged.

Theory of operation
    The steps of the trace go, one by one, to the disk (calls) or to the ledger (lines of the writer). There is a cut
    after each ACK and TOLD, and after every n-th call. Where nothing that the model keeps has changed since the last
    cut, the disk is the same: it is not opened again, but it is judged again by what was promised meanwhile. In the
    model ``strict`` this covers a cut after each and every call, as between two syncs the last promise is the hardest.

    The control is the same experiment on a store that is known to be wrong: a copy of ``appliance`` in which one line
    is changed, so that the product needs no switch for it.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import appliance
from tests.store.powercut import trace
from tests.store.powercut.disk import Disk
from tests.store.powercut.judge import Kind, judge, reopen
from tests.store.powercut.promises import Ledger
from tests.store.powercut.trace import Said

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.store.powercut.judge import Breach, Found
    from tests.store.powercut.trace import Step

__all__ = ["Life", "Model", "Store", "Tally", "cut", "in_memory", "live"]

SHOWN = 5


class Store(StrEnum):
    """The product as it is, and the controls: the same with one thing wrong."""

    FULL = "FULL"
    NORMAL = "NORMAL"
    """``synchronous=NORMAL``: what most guides recommend."""
    OFF = "OFF"
    """``synchronous=OFF``."""
    EARLY = "EARLY"
    """``write`` returns when the verb has run, before the COMMIT."""


_EARLY = """\
            for job in batch:
                if job.future is not None:
                    job.future.get_loop().call_soon_threadsafe(
                        lambda job=job: None if job.future.done() else job.future.set_result(job.result)
                    )
            db.execute("COMMIT")
"""

_WRONG: dict[Store, tuple[str, str, str]] = {
    Store.NORMAL: ("file.py", '("synchronous", "FULL", 2)', '("synchronous", "NORMAL", 1)'),
    Store.OFF: ("file.py", '("synchronous", "FULL", 2)', '("synchronous", "OFF", 0)'),
    Store.EARLY: ("journal.py", '            db.execute("COMMIT")\n', _EARLY),
}
"""Of each control: the file of ``appliance/store``, what stands there, and what is put in its place."""


class Model(StrEnum):
    """See ``disk``."""

    STRICT = "strict"
    TORN = "torn"


@dataclass(frozen=True, slots=True)
class Life:
    """A traced run of the writer.

    Attributes:
        directory: where it ran, as it was left.
        steps: what it did and said.
    """

    directory: Path
    steps: tuple[Step, ...]

    def count(self, act: type, name: str) -> int:
        """How often this was done to the file of this name."""
        return sum(isinstance(step.act, act) and getattr(step.act, "name", None) == name for step in self.steps)

    def said(self, word: str) -> int:
        """How many lines begin with this word."""
        return sum(isinstance(step.act, Said) and step.act.word == word for step in self.steps)


@dataclass(slots=True)
class Tally:
    """What came of an experiment.

    Attributes:
        cuts: points at which the power was cut, and the promises held against what was left.
        disks: different disks among them, each reopened.
        bad: cuts with any breach.
        breached: cuts by the kinds of breach that they had.
        lost: what breaches of that kind were of: message, PDU, …
        worst: the most promises that one cut lost.
        shown: the first breaches, in words.
    """

    cuts: int = 0
    disks: int = 0
    bad: int = 0
    breached: Counter[Kind] = field(default_factory=Counter)
    lost: set[str] = field(default_factory=set)
    worst: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, place: int, breaches: list[Breach]) -> None:
        self.cuts += 1
        self.bad += bool(breaches)
        self.breached.update({breach.kind for breach in breaches})
        self.lost |= {breach.of for breach in breaches if breach.kind == Kind.LOST}
        self.worst = max(self.worst, sum(breach.kind == Kind.LOST for breach in breaches))
        self.shown += [f"line {place + 1}: {breach.what}" for breach in breaches[: SHOWN - len(self.shown)]]


def in_memory() -> Path | None:
    """A directory of a file system in memory, where there is one."""
    shm = Path("/dev/shm")
    return shm if os.access(shm, os.W_OK) else None


def live(store: Store, scratch: Path, *, transactions: int) -> Life:
    """Trace the writer on this store; ``scratch`` is an empty directory of the caller."""
    real = Path(appliance.__file__).parent
    packages = real.parent
    if store in _WRONG:
        name, right, wrong = _WRONG[store]
        packages = scratch / "packages"
        shutil.copytree(real, packages / "appliance", ignore=shutil.ignore_patterns("__pycache__"))
        _replace(packages / "appliance/store" / name, right, wrong)
    directory = scratch / "state"
    directory.mkdir()
    output = scratch / "trace"
    trace.record(directory, output, transactions=transactions, packages=packages)
    with output.open(encoding="ascii") as lines:
        steps = tuple(trace.read(lines, directory))
    output.unlink()
    origins = {step.act.facts["package"] for step in steps if isinstance(step.act, Said) and step.act.word == "FROM"}
    assert origins == {str(packages / "appliance")}, "the writer ran on another package than it was told"
    return Life(directory, steps)


def _replace(file: Path, old: str, new: str) -> None:
    source = file.read_text("utf-8")
    assert source.count(old) == 1, f"{file.name} does not say {old} once: the control has nothing to change"
    file.write_text(source.replace(old, new), "utf-8")


async def cut(
    steps: Iterable[Step], model: Model, scratch: Path, *, every: int, seed: int = 1, enough: int | None = None
) -> Tally:
    """Cut the power after each promise and every ``every``-th call; stop after ``enough`` cuts with a breach."""
    tally = Tally()
    disk, ledger = Disk(), Ledger()
    known: tuple[int, Found] | None = None
    calls = 0
    for step in steps:
        match step.act:
            case Said(word, facts):
                ledger.hear(word, facts)
                due = word in {"ACK", "TOLD"}
            case _:
                disk.apply(step)
                calls += 1
                due = calls % every == 0
        if not due:
            continue
        version = disk.certain if model == Model.STRICT else disk.changes
        if known is None or known[0] != version:
            files = disk.strict() if model == Model.STRICT else disk.torn(random.Random(f"{seed}/{version}"))
            known = (version, await _reopened(files, scratch / "cut"))
            tally.disks += 1
        tally.add(step.ended, judge(ledger, known[1]))
        if enough is not None and tally.bad >= enough:
            break
    return tally


async def _reopened(files: dict[str, bytes], directory: Path) -> Found:
    await asyncio.to_thread(_lay_out, files, directory)
    try:
        return await reopen(directory)
    finally:
        await asyncio.to_thread(shutil.rmtree, directory)


def _lay_out(files: dict[str, bytes], directory: Path) -> None:
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
