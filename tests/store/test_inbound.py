"""What arrives is kept, told once, and never jams what follows (promises R1, R2, R3)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from appliance.errors import StoreError
from appliance.store import events, inbound
from appliance.store.clock import DAY_MS, HOUR_MS
from appliance.types import Imei, MessageId
from tests.store.bench import ALICE, BOB, OTHER_SIM, SIM, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from appliance.types import Imsi

IMEI = Imei("490154203237518")


def pdu(text: str, *, number: int = 1, total: int = 1, stamp: int = 0) -> str:
    """A PDU of this test's own making: stamp, number, total, text."""
    return f"{stamp:02X}{number:02X}{total:02X}{text.encode().hex()}".upper()


def assemble(raw: Sequence[str]) -> inbound.Assembled:
    parts = [bytes.fromhex(part) for part in raw]
    total = parts[0][2]
    present = {part[1]: part[3:].decode() for part in parts}
    missing = tuple(number for number in range(1, total + 1) if number not in present)
    return inbound.Assembled(
        text="".join(present.get(number, "…") for number in range(1, total + 1)),
        data=None,
        missing=missing,
        total=total,
    )


class Receiving(Store):
    """A store that is given PDUs."""

    def arrive(self, raw: str, *, imsi: Imsi = SIM, index: int = 1) -> inbound.StoredPdu:
        return self.write(inbound.commit_pdu, imsi=imsi, imei=IMEI, iccid=None, raw=raw, storage="SM", index=index)

    def receive(
        self, text: str, *, sender: str = ALICE, key: str | None = None, number: int = 1, total: int = 1, stamp: int = 0
    ) -> MessageId | None:
        stored = self.arrive(pdu(text, number=number, total=total, stamp=stamp))
        part = inbound.ReceivedPart(
            sender=sender, encoding="gsm7", sent_at=None, set_key=key, number=number, total=total, extra={"port": 1}
        )
        return self.write(inbound.deliver, stored.id, part=part, assemble=assemble)

    def inbox(self, **how: Any) -> list[dict[str, Any]]:
        return self.read(inbound.inbox, **how)

    def tellings(self) -> list[str]:
        return [event.subject for event in self.read(events.after, 0, kinds={"received"})]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Receiving]:
    store = Receiving(tmp_path / "hub.db")
    yield store
    store.close()


def test_the_same_octets_of_the_same_sim_are_one(store: Receiving) -> None:
    first = store.arrive("0A0B", index=3)
    assert first.fresh
    store.write(inbound.removed, first.id)
    store.restart()
    again = store.arrive("0a0b", index=9)
    assert (again.id, again.fresh, again.index, again.removed) == (first.id, False, 9, False)
    assert store.rows("SELECT reads FROM inbound_pdu") == [(2,)]
    assert store.arrive("0A0B", imsi=OTHER_SIM).fresh
    assert store.arrive("0A0C").fresh


def test_what_is_no_hex_is_kept_all_the_same(store: Receiving) -> None:
    assert store.arrive("not hex at all \u00e9\udc80".encode("utf-8", "replace").decode()).fresh


def test_a_crash_between_commit_and_decoding_leaves_it_named_and_decoding_twice_is_once(store: Receiving) -> None:
    stored = store.arrive(pdu("hello"))
    store.restart()
    assert store.read(inbound.undecided) == [
        inbound.StoredPdu(
            id=stored.id,
            fresh=False,
            outcome=None,
            imsi=SIM,
            imei=IMEI,
            iccid=None,
            raw=pdu("hello"),
            storage="SM",
            index=1,
            received_at=stored.received_at,
            removed=False,
        )
    ]
    part = inbound.ReceivedPart(sender=ALICE, encoding="gsm7", sent_at=None)
    first = store.write(inbound.deliver, stored.id, part=part, assemble=assemble)
    assert store.write(inbound.deliver, stored.id, part=part, assemble=assemble) == first
    assert store.read(inbound.undecided) == []
    assert len(store.inbox()) == len(store.tellings()) == 1


def test_a_single_message_as_it_is_shown(store: Receiving) -> None:
    received_id = store.receive("hello")
    assert received_id is not None
    (event,) = store.read(events.after, 0)
    assert (event.kind, event.subject, event.body) == ("received", received_id, {"id": received_id})
    view = store.read(inbound.received_view, received_id)
    assert view is not None
    assert view.pop("received_at").endswith("Z")
    assert view == {
        "id": received_id,
        "seq": 1,
        "from": ALICE,
        "text": "hello",
        "sent_at": None,
        "modem": IMEI,
        "sim": SIM,
        "encoding": "gsm7",
        "segments": 1,
        "complete": True,
        "replayed": False,
        "port": 1,
    }


def test_data_is_base64(store: Receiving) -> None:
    stored = store.arrive("00")
    part = inbound.ReceivedPart(sender=ALICE, encoding="data", sent_at=None)
    received_id = store.write(
        inbound.deliver,
        stored.id,
        part=part,
        assemble=lambda _: inbound.Assembled(text=None, data=b"\x00\xff", missing=(), total=1),
    )
    assert received_id is not None
    view = store.read(inbound.received_view, received_id)
    assert view is not None
    assert base64.b64decode(view["data"]) == b"\x00\xff"
    assert "text" not in view


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
def test_parts_in_any_order_over_restarts_are_one_message(store: Receiving, order: tuple[int, ...]) -> None:
    for number in order[:2]:
        assert store.receive("abc"[number - 1], key="k", number=number, total=3) is None
        assert store.inbox() == []
        store.restart()
    received_id = store.receive("abc"[order[2] - 1], key="k", number=order[2], total=3)
    (row,) = store.inbox()
    assert (row["id"], row["text"], row["complete"], row["segments"]) == (received_id, "abc", True, 3)
    assert store.tellings() == [received_id]


def test_seq_grows_in_the_order_of_telling(store: Receiving) -> None:
    store.receive("a", key="k", number=1, total=2)
    single = store.receive("single")
    whole = store.receive("b", key="k", number=2, total=2)
    assert [(row["seq"], row["id"]) for row in store.inbox()] == [(1, single), (2, whole)]
    assert [row["id"] for row in store.inbox(since_seq=1)] == [whole]
    assert [row["id"] for row in store.inbox(sender=BOB)] == []
    assert len(store.inbox(limit=1)) == 1


def test_an_incomplete_set_is_told_as_such_once_and_a_late_part_updates_it(store: Receiving) -> None:
    store.receive("a", key="k", number=1, total=3)
    store.machine.forward(HOUR_MS - 1)
    assert store.write(inbound.give_up, window_ms=HOUR_MS) == 0
    store.machine.forward(1)
    assert store.write(inbound.give_up, window_ms=HOUR_MS) == 1
    assert store.write(inbound.give_up, window_ms=HOUR_MS) == 0
    (row,) = store.inbox()
    assert (row["text"], row["complete"], row["missing"]) == ("a……", False, [2, 3])
    later = store.receive("c", key="k", number=3, total=3)
    (still,) = store.inbox(since_seq=row["seq"])
    assert (still["id"], still["text"], still["complete"], still["missing"]) == (row["id"], "a…c", False, [2])
    assert later == row["id"]
    store.receive("b", key="k", number=2, total=3)
    (done,) = store.inbox(since_seq=still["seq"])
    assert (done["id"], done["text"], done["complete"]) == (row["id"], "abc", True)
    assert "missing" not in done
    assert store.tellings() == [row["id"]] * 3


def test_a_part_redelivered_with_another_time_stamp_is_the_same_part(store: Receiving) -> None:
    store.receive("a", key="k", number=1, total=2)
    assert store.receive("a", key="k", number=1, total=2, stamp=1) is None
    whole = store.receive("b", key="k", number=2, total=2)
    assert store.receive("b", key="k", number=2, total=2, stamp=2) == whole
    assert len(store.inbox()) == len(store.tellings()) == 1


def test_a_reference_that_is_used_anew_is_another_message(store: Receiving) -> None:
    store.receive("a", key="k", number=1, total=2)
    store.receive("A", key="k", number=1, total=2)
    store.receive("B", key="k", number=2, total=2)
    assert [row["text"] for row in store.inbox()] == ["AB"]
    store.machine.forward(HOUR_MS)
    store.write(inbound.give_up, window_ms=HOUR_MS)
    assert [row["text"] for row in store.inbox()] == ["AB", "a…"]


def test_a_set_of_long_ago_is_not_joined(store: Receiving) -> None:
    store.receive("a", key="k", number=1, total=2)
    store.machine.forward(4 * DAY_MS)
    assert store.receive("b", key="k", number=2, total=2) is None
    store.machine.forward(DAY_MS)
    assert store.write(inbound.give_up, window_ms=HOUR_MS) == 2


def test_other_keys_and_other_sims_are_not_mixed(store: Receiving) -> None:
    store.receive("a", key="k", number=1, total=2)
    assert store.receive("b", key="other", number=2, total=2) is None
    stored = store.arrive(pdu("b", number=2, total=2, stamp=7), imsi=OTHER_SIM)
    part = inbound.ReceivedPart(sender=ALICE, encoding="gsm7", sent_at=None, set_key="k", number=2, total=2)
    assert store.write(inbound.deliver, stored.id, part=part, assemble=assemble) is None


def test_what_cannot_be_decoded_is_told_raw_and_only_once(store: Receiving) -> None:
    stored = store.arrive("FFFF")
    told = store.write(inbound.undecodable, stored.id, field="TP-OA", offset=1, detail="too short")
    assert store.write(inbound.undecodable, stored.id, field="TP-OA", offset=1, detail="too short") == told
    (row,) = store.inbox()
    assert row["undecodable"] == {"field": "TP-OA", "offset": 1, "detail": "too short"}
    assert row["raw"] == "FFFF"
    assert "text" not in row
    assert store.tellings() == [told]
    assert store.read(inbound.undecided) == []


def test_an_assembler_that_fails_takes_nothing_with_it(store: Receiving) -> None:
    def broken(_: Sequence[str]) -> inbound.Assembled:
        raise ZeroDivisionError

    stored = store.arrive(pdu("x"))
    part = inbound.ReceivedPart(sender=ALICE, encoding="gsm7", sent_at=None)
    with pytest.raises(ZeroDivisionError):
        store.write(inbound.deliver, stored.id, part=part, assemble=broken)
    assert [row.id for row in store.read(inbound.undecided)] == [stored.id]
    store.write(inbound.undecodable, stored.id, field="PDU", offset=0, detail="…")
    assert store.receive("next") is not None


def test_a_pdu_that_was_never_kept_is_an_error(store: Receiving) -> None:
    with pytest.raises(StoreError, match="no PDU 99"):
        store.write(inbound.undecodable, 99, field="PDU", offset=0, detail="…")
    assert store.read(inbound.received_view, MessageId("in_nothing")) is None
