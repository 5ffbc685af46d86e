"""The codec against the independent ones that are installed; ``python -m tests.oracles`` is the long form."""

from __future__ import annotations

import pytest

from tests.oracles import cast
from tests.oracles.faults import FAULTS
from tests.oracles.judge import judge
from tests.oracles.lines import answer
from tests.oracles.read_modemhub import read
from tests.oracles.texts import samples
from tests.oracles.wishes import wishes
from tests.oracles.write_modemhub import records

TEXTS = 300
DELIVERIES = 60


def installed(member: cast.Member) -> cast.Member:
    if (why := member.missing()) is not None:
        pytest.skip(f"{member.name} is left out, {why}: `python -m tests.oracles` installs what it can")
    return member


@pytest.mark.parametrize("member", cast.READERS, ids=lambda member: member.name)
def test_others_read_what_we_write(member: cast.Member) -> None:
    ours = list(records(TEXTS, seed=3))
    verdict = judge(member.name, member.name, ours, installed(member).run(ours))
    assert not verdict.differences, verdict.differences[0]
    assert verdict.agreed


@pytest.mark.parametrize("member", cast.WRITERS, ids=lambda member: member.name)
def test_we_read_what_others_write(member: cast.Member) -> None:
    asked = [*wishes(DELIVERIES, seed=3), *wishes(DELIVERIES, seed=4, first=DELIVERIES, submit=True)]
    theirs = installed(member).run(asked)
    verdict = judge(member.name, member.name, theirs, [answer(read, record) for record in theirs])
    assert not verdict.differences, verdict.differences[0]
    assert len(verdict.agreed) > DELIVERIES // 3


def test_we_read_what_we_write() -> None:
    ours = list(records(TEXTS, seed=4))
    verdict = judge("ourselves", "ourselves", ours, [answer(read, record) for record in ours])
    assert not verdict.differences
    assert len(verdict.agreed) == len(ours)


def test_the_texts_are_of_every_kind_and_length() -> None:
    kinds = {sample.kind for sample in samples(TEXTS, seed=3)}
    assert {"default", "extension", "ucs2", "astral", "joined", "sentence", "data"} <= kinds
    assert sum(kind.startswith("national") for kind in kinds) == 12 * 3 + 1
    totals = {record.get("total", 1) for record in records(TEXTS, seed=3)}
    assert set(range(1, 11)) <= totals


@pytest.mark.parametrize(
    ("claim", "found", "differs"),
    [
        ({"text": "a"}, {"text": "a"}, False),
        ({"text": "a"}, {"text": "b"}, True),
        ({"text": "a"}, {"number": "1"}, False),
        ({"number": "1"}, {"number": "2"}, True),
        ({"total": 2, "sequence": 1}, {"total": 2, "sequence": 2}, True),
        ({"data": "00"}, {"data": "01"}, True),
        ({"text": "a"}, {"error": "no"}, True),
    ],
)
def test_the_judge_sees_a_difference(claim: dict[str, object], found: dict[str, object], *, differs: bool) -> None:
    verdict = judge("nobody", "nobody", [{"id": 1, **claim}], [{"id": 1, **found}])
    assert bool(verdict.differences) == differs


def test_the_judge_wants_an_answer_to_everything() -> None:
    with pytest.raises(ValueError, match="0 answers to 1 records"):
        judge("nobody", "nobody", [{"id": 1}], [])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.oracle}-{fault.name[:24]}")
def test_a_fault_explains_neither_agreement_nor_something_else(fault: object) -> None:
    applies = fault.applies  # type: ignore[attr-defined] # a NamedTuple's field
    same = {"id": 1, "text": "a,~§@€", "number": "07700900123", "total": 2}
    assert not applies(same, same)
    assert not applies(same, {**same, "text": "quite another text"})
