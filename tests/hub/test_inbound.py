"""What arrives: kept raw, told once, put together from rows; and the reports that end what was sent."""

from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from appliance.errors import StoreError
from appliance.hub import SendCommand
from appliance.sms import (
    Address,
    SmsDeliver,
    SmsStatusReport,
    UserData,
    segment,
)
from appliance.sms.timestamp import encode_timestamp
from appliance.store import inbound, outbound
from tests.hub.conftest import IMEI, IMSI, House, Open

pytestmark = pytest.mark.asyncio

SENT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def deliver(part: UserData, *, sender: str = "+447700900999", second: int = 0) -> bytes:
    return SmsDeliver(
        originator=Address.parse(sender),
        user_data=part,
        service_centre_timestamp=SENT.replace(second=second),
        service_centre_timestamp_octets=encode_timestamp(SENT.replace(second=second)),
    ).encode()


def delivers(text: str, *, reference: int = 1, **options: Any) -> list[bytes]:
    return [deliver(part, **options) for part in segment(text, reference=reference).parts]


def report(mr: int, *, to: str = "+447700900123", status: int = 0) -> bytes:
    return SmsStatusReport(
        message_reference=mr,
        recipient=Address.parse(to),
        service_centre_timestamp=SENT,
        discharge_time=SENT,
        status=status,
        service_centre_timestamp_octets=encode_timestamp(SENT),
        discharge_time_octets=encode_timestamp(SENT),
    ).encode()


@pytest_asyncio.fixture
async def house(open_hub: Open) -> House:
    made: House = await open_hub()
    return made


async def test_a_text_is_told_with_where_it_came_from(house: House) -> None:
    await house.arrive(delivers("hello ü")[0])
    (body,) = await house.received(1)
    assert {
        key: body[key] for key in ("from", "text", "modem", "sim", "segments", "complete", "sent_at", "replayed")
    } == {
        "from": "+447700900999",
        "text": "hello ü",
        "modem": IMEI,
        "sim": IMSI,
        "segments": 1,
        "complete": True,
        "sent_at": "2026-11-23T12:00:00+00:00",
        "replayed": False,
    }


async def test_one_sms_read_twice_is_one_and_two_texts_are_two(house: House) -> None:
    first, second = delivers("one")[0], delivers("two")[0]
    for tpdu in (first, first, second, first, second):
        await house.arrive(tpdu)
    assert [body["text"] for body in await house.received(2)] == ["one", "two"]


async def test_the_same_words_a_second_later_are_another_text(house: House) -> None:
    await house.arrive(delivers("again", second=1)[0])
    await house.arrive(delivers("again", second=2)[0])
    assert len(await house.received(2)) == 2


async def test_a_long_text_in_any_order_with_repetitions_is_one(house: House) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(500))
    parts = delivers(text)
    for tpdu in (parts[2], parts[0], parts[2], parts[3], parts[1]):
        await house.arrive(tpdu)
    (body,) = await house.received(1)
    assert (body["text"], body["segments"], body["complete"]) == (text, 4, True)


async def test_two_senders_with_the_same_reference_do_not_mix(house: House) -> None:
    one, other = delivers("1" * 200, sender="+447700900001"), delivers("2" * 200, sender="+447700900002")
    for tpdu in (one[0], other[0], other[1], one[1]):
        await house.arrive(tpdu)
    assert {body["from"]: body["text"] for body in await house.received(2)} == {
        "+447700900001": "1" * 200,
        "+447700900002": "2" * 200,
    }


async def test_what_is_missing_is_told_and_a_late_part_completes_it(house: House) -> None:
    text = "x" * 150 + "y" * 150 + "z" * 150
    parts = delivers(text)
    await house.arrive(parts[0])
    await house.arrive(parts[2])
    await house.arrive(delivers("fence")[0])
    await house.received(1)
    house.time.now += 86_401
    await house.journal.write(inbound.give_up, window_ms=86_400_000)
    _, body = await house.received(2)
    assert (body["complete"], body["missing"]) == (False, [2])
    await house.arrive(parts[1])
    late = (await house.received(3))[2]
    assert (late["id"], late["complete"], late["text"]) == (body["id"], True, text)
    assert late["seq"] > body["seq"]


@pytest.mark.parametrize("line", ["", "zz", "0", "+CMGL: 1", "00F101010C0000000000"])
async def test_what_cannot_be_decoded_is_kept_and_the_next_one_is_read(house: House, line: str) -> None:
    await house.arrive(line)
    await house.arrive(delivers("after it")[0])
    bad, good = await house.received(2)
    assert bad["undecodable"]["field"]
    assert good["text"] == "after it"


async def test_a_row_that_a_crash_left_is_decoded_at_the_next_start(open_hub: Open) -> None:
    house: House = await open_hub()
    house.supervisor.stop()
    await house.supervisor.run()  # the decoder has ended
    await house.arrive(delivers("survives")[0])
    house = await open_hub()
    assert [body["text"] for body in await house.received(1)] == ["survives"]


async def test_the_inbox_is_replayable(house: House) -> None:
    for second in range(3):
        await house.arrive(delivers(f"text {second}", second=second)[0])
    seqs = [body["seq"] for body in await house.received(3)]
    again = [item async for item in house.hub.replay(seqs[0])]
    assert [(item["text"], item["replayed"]) for item in again] == [("text 1", True), ("text 2", True)]


async def test_deleting_is_recorded(house: House) -> None:
    pdu = await house.arrive(delivers("x")[0])
    await house.hub.removed(pdu)
    removed = await house.journal.read(lambda db: db.execute("SELECT removed FROM inbound_pdu").fetchone()[0])
    assert removed == 1


async def test_nothing_is_acknowledged_that_could_not_be_kept(house: House) -> None:
    await house.journal.close()
    with pytest.raises(StoreError):
        await house.arrive(delivers("x")[0])


async def submitted(house: House, mr: int, *, body: str = "x", to: str = "+447700900123") -> str:
    sent = await house.hub.send(SendCommand(to=to, text=body), client="test")
    while (claim := await house.journal.write(outbound.claim, IMSI)) is not None:
        await house.journal.write(outbound.payload_next, claim.seq, claim.n)
        await house.journal.write(outbound.submitted, claim.seq, claim.n, imsi=IMSI, mr=mr % 256)
        mr += 1
    return sent.ids[0]


async def state(house: House, message_id: str, wanted: str) -> dict[str, Any]:
    seq = 0
    while True:
        view = await house.hub.message(message_id)
        assert view is not None
        if view["state"] == wanted:
            return view
        seq = await house.journal.committed(seq)


async def test_a_report_ends_its_message(house: House) -> None:
    one, two = await submitted(house, 7), await submitted(house, 8)
    await house.arrive(report(8))
    await house.arrive(report(7, status=0x46))
    await state(house, two, "delivered")
    view = await state(house, one, "undelivered")
    assert view["reason"]["code"] == "tp_status_70"


async def test_all_segments_count(house: House) -> None:
    sent = await submitted(house, 10, body="x" * 400)
    for mr in (12, 10):
        await house.arrive(report(mr))
    await house.arrive(delivers("fence")[0])
    await house.received(1)
    view = await house.hub.message(sent)
    assert view is not None
    assert view["state"] == "submitted"
    await house.arrive(report(11))
    await state(house, sent, "delivered")


async def test_the_newest_wins_after_the_wrap_of_the_message_reference(house: House) -> None:
    old = await submitted(house, 5)
    await house.journal.write(outbound.expire)
    new = await submitted(house, 5 + 256)
    await house.arrive(report(5))
    await state(house, new, "delivered")
    view = await house.hub.message(old)
    assert view is not None
    assert view["state"] == "submitted"


async def test_another_recipients_report_is_kept_as_an_orphan(house: House) -> None:
    sent = await submitted(house, 5)
    await house.arrive(report(5, to="+447700900777"))
    await house.arrive(delivers("fence")[0])
    await house.received(1)
    view = await house.hub.message(sent)
    assert view is not None
    assert view["state"] == "submitted"


async def test_a_report_in_national_spelling_is_of_the_same_recipient(house: House) -> None:
    sent = await submitted(house, 5)
    await house.arrive(report(5, to="07700900123"))
    await house.arrive(report(5, to="7700900123"))
    await state(house, sent, "delivered")
