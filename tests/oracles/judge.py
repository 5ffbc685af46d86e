"""Compares what a codec claims with what others read: records with answers, key by key."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.oracles.faults import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

Line = dict[str, Any]

COMPARED = ("text", "data", "number", "reference", "total", "sequence", "sent")


@dataclass(slots=True)
class Verdict:
    """What came of one reader on one set of records.

    Attributes:
        name: the writer and the reader.
        agreed: records that the reader read as they were claimed.
        unable: records of a kind that the reader does not read, by its reason.
        faults: records read otherwise because of a known fault of the other side, by the fault's name.
        differences: everything else: (record, answer).
    """

    name: str
    agreed: set[int] = field(default_factory=set)
    unable: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[Line, Line]] = field(default_factory=list)

    def line(self) -> str:
        """This verdict in one line."""
        parts = [f"{self.name}: {len(self.agreed)} agreed, {len(self.differences)} differ"]
        parts += [f"{count} not read ({why})" for why, count in self.unable.items()]
        parts += [f"{count} the other's fault ({name})" for name, count in self.faults.items()]
        return ", ".join(parts)


def differs(record: Line, found: Line) -> bool:
    """Whether an answer contradicts a record: in any key that both have, or by an error."""
    return "error" in found or any(record[key] != found[key] for key in COMPARED if key in record and key in found)


def judge(name: str, oracle: str, records: Sequence[Line], answers: Sequence[Line]) -> Verdict:
    """The verdict on these answers; ``oracle`` is whose faults may explain a difference."""
    verdict = Verdict(name)
    if len(records) != len(answers):
        raise ValueError(f"{name}: {len(answers)} answers to {len(records)} records")
    for record, found in zip(records, answers, strict=True):
        if "unable" in found:
            verdict.unable[found["unable"]] += 1
        elif not differs(record, found):
            verdict.agreed.add(record["id"])
        elif (fault := explain(oracle, record, found)) is not None:
            verdict.faults[fault.name] += 1
        else:
            verdict.differences.append((record, found))
    return verdict
