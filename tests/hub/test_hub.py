"""What the hub accepts, refuses and remembers."""

from datetime import timedelta
from typing import Any

import pytest

from appliance.errors import Rejected
from appliance.hub import SendCommand
from appliance.sms import SmsSubmit
from appliance.store import outbound, sims
from appliance.types import Imsi, Reason, RetryClass
from tests.hub.conftest import ICCID, IMSI, Open

pytestmark = pytest.mark.asyncio

_REASON = Reason("cms_1", RetryClass.PERMANENT, "for the test")


def text(to: str | list[str] = "+447700900123", body: str = "x", **fields: Any) -> SendCommand:
    return SendCommand(to=to, text=body, **fields)


async def refusal(house: Any, command: SendCommand, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as refused:
        await house.hub.send(command, client="test", **options)
    return refused.value


async def test_accepted_is_durable_and_told_first_as_queued(open_hub: Open) -> None:
    house = await open_hub()
    sent = await house.hub.send(text(), client="test")
    house = await open_hub()
    view = await house.hub.message(sent.ids[0])
    assert view["state"] == "queued"
    assert view["text"] == "x"
    told = await house.hub.events(0, kinds=["message"])
    assert [(event.subject, event.body["state"]) for event in told] == [(sent.ids[0], "queued")]


async def test_events_carry_no_text(open_hub: Open) -> None:
    house = await open_hub()
    await house.hub.send(text(body="a secret"), client="test")
    assert "a secret" not in str(await house.hub.events(0))


async def test_the_same_key_is_the_same_message_also_after_a_restart(open_hub: Open) -> None:
    house = await open_hub()
    first = await house.hub.send(text(id="a"), client="test")
    again = await house.hub.send(text(id="a"), client="test")
    house = await open_hub()
    later = await house.hub.send(text(), client="test", key="a")
    assert (first.duplicate, again.duplicate, later.duplicate) == (False, True, True)
    assert first.ids == again.ids == later.ids


async def test_the_same_key_with_another_body_is_a_conflict(open_hub: Open) -> None:
    house = await open_hub()
    await house.hub.send(text(id="a"), client="test")
    assert (await refusal(house, text(id="a", body="y"))).code == "idempotency_conflict"


async def test_keys_of_two_clients_do_not_meet(open_hub: Open) -> None:
    house = await open_hub()
    first = await house.hub.send(text(id="a"), client="one")
    second = await house.hub.send(text(id="a"), client="two")
    assert first.ids != second.ids


async def test_a_key_is_free_again_after_seven_days_of_hub_time_and_not_after_a_clock_jump(open_hub: Open) -> None:
    house = await open_hub()
    first = await house.hub.send(text(id="a"), client="test")
    house.time.wall_offset += 10 * 365 * 86400
    again = await house.hub.send(text(id="a"), client="test")
    house.time.now += 7 * 86400 + 3600
    later = await house.hub.send(text(id="a"), client="test")
    assert first.ids == again.ids != later.ids


async def test_one_command_for_many_is_all_or_nothing(open_hub: Open) -> None:
    house = await open_hub()
    refused = await refusal(house, text(["+447700900001", "+43664123456"]))
    assert (refused.code, refused.pointer) == ("destination_not_allowed", "/to/1")
    assert (await house.hub.messages()).items == []
    sent = await house.hub.send(text(["+447700900001", "+447700900002"], id="b"), client="test")
    again = await house.hub.send(text(["+447700900001", "+447700900002"], id="b"), client="test")
    assert len(set(sent.ids)) == 2
    assert again.ids == sent.ids


async def test_the_sim_cap_counts_segments_and_no_restart_refills_it(open_hub: Open) -> None:
    house = await open_hub(sim_daily_cap=4)
    await house.hub.send(text(body="x" * 400), client="test")
    house = await open_hub(sim_daily_cap=4)
    refused = await refusal(house, text(body="x" * 200))
    assert refused.code == "quota_exceeded"
    assert refused.retry_after
    assert refused.retry_after > 0
    await house.hub.send(text(), client="test")


async def test_a_clients_own_cap(open_hub: Open) -> None:
    house = await open_hub()
    await house.hub.send(text(), client="test", client_daily_cap=1)
    assert (await refusal(house, text(), client_daily_cap=1)).code == "quota_exceeded"
    await house.hub.send(text(), client="other", client_daily_cap=1)


async def test_a_command_whose_time_is_over_is_never_accepted(open_hub: Open) -> None:
    house = await open_hub()
    assert (await refusal(house, text(), expires_in=0)).code == "expired"
    assert (await refusal(house, text(ttl=60), expires_in=-1)).code == "expired"


async def test_the_smaller_of_ttl_and_expiry_bounds_the_queue_and_the_validity(open_hub: Open) -> None:
    house = await open_hub()
    sent = await house.hub.send(text(ttl=86400, report=False), client="test", expires_in=3600)
    claim = await house.journal.write(outbound.claim, IMSI)
    assert SmsSubmit.decode(claim.tpdu).validity == timedelta(hours=1)
    await house.journal.write(outbound.put_back, claim.seq, 1, reason=_REASON, delay_ms=0, counted=True)
    house.time.now += 3601
    assert await house.journal.write(outbound.claim, IMSI) is None
    assert (await house.hub.message(sent.ids[0]))["state"] == "expired"


async def test_a_clock_jump_expires_nothing(open_hub: Open) -> None:
    house = await open_hub()
    await house.hub.send(text(ttl=3600), client="test")
    for jump in (10 * 365 * 86400, -20 * 365 * 86400):
        house.time.wall_offset += jump
        house = await open_hub()
        assert await house.journal.write(outbound.expire) == 0
    assert await house.journal.write(outbound.claim, IMSI) is not None


async def test_what_cannot_be_encoded_is_refused_with_the_characters(open_hub: Open) -> None:
    house = await open_hub()
    refused = await refusal(house, text(body="5 ₴", encoding="gsm7"))
    assert refused.code == "not_encodable"
    assert "₴" in refused.detail


async def test_transliteration_states_its_loss(open_hub: Open) -> None:
    house = await open_hub()
    preview = house.hub.preview(text(body="“naïve” ₴", encoding="translit"))
    assert preview["encoding"] == "gsm7"
    assert {"“", "”"} <= {loss["character"] for loss in preview["substitutions"]}


async def test_flash_data_and_ports_reach_the_tpdu(open_hub: Open) -> None:
    house = await open_hub()
    await house.hub.send(text(flash=True), client="test")
    claim = await house.journal.write(outbound.claim, IMSI)
    assert SmsSubmit.decode(claim.tpdu).message_class == 0
    await house.journal.write(outbound.submitted, claim.seq, 1, imsi=IMSI, mr=1)
    await house.hub.send(SendCommand(to="+447700900123", data="AQID", port=2948), client="test")
    claim = await house.journal.write(outbound.claim, IMSI)
    assert b"\x05\x04\x0b\x84\x00\x00" in claim.tpdu
    assert claim.tpdu.endswith(b"\1\2\3")


async def test_concatenation_references_differ_from_message_to_message_also_after_a_restart(open_hub: Open) -> None:
    references = []
    for _ in range(3):
        house = await open_hub()
        for _ in range(3):
            await house.hub.send(text(body="x" * 200), client="test")
            claim = await house.journal.write(outbound.claim, IMSI)
            concatenation = SmsSubmit.decode(claim.tpdu).user_data.concatenation
            assert concatenation is not None
            references.append(concatenation.reference)
            await house.journal.write(outbound.fail, claim.seq, claim.n, reason=_REASON)
    assert len(set(references)) == 9


async def test_home_is_unknown_until_a_sim_was_seen(open_hub: Open) -> None:
    house = await open_hub(known_sim=False)
    assert (await refusal(house, text())).code == "no_sim"


async def test_texts_wait_for_the_first_sim(open_hub: Open, anyone: dict[str, Any]) -> None:
    house = await open_hub(known_sim=False, **anyone)
    sent = await house.hub.send(text(), client="test")
    assert (await house.hub.message(sent.ids[0]))["sim"] is None
    await house.journal.write(sims.seen, imsi=IMSI, iccid=ICCID, imei=None, number=None)
    await house.journal.write(outbound.assign, IMSI, sim_cap=10)
    assert (await house.hub.message(sent.ids[0]))["sim"] == IMSI


async def test_a_client_may_insist_on_a_sim(open_hub: Open) -> None:
    house = await open_hub()
    other = Imsi("234100000000002")
    await house.journal.write(sims.seen, imsi=other, iccid=None, imei=None, number=None)
    house = await open_hub()
    sent = await house.hub.send(text(sim=ICCID), client="test")
    assert (await house.hub.message(sent.ids[0]))["sim"] == IMSI
    sent = await house.hub.send(text(sim=other), client="test")
    assert (await house.hub.message(sent.ids[0]))["sim"] == other
    assert (await refusal(house, text(sim="1234"))).code == "no_sim"
    assert (await refusal(house, text(modem="356938035643015"))).code == "no_such_modem"


async def test_cancel_takes_back_what_nobody_was_given(open_hub: Open) -> None:
    house = await open_hub()
    sent = await house.hub.send(text(), client="test")
    with pytest.raises(Rejected, match="not_found"):
        await house.hub.cancel(sent.ids[0], client="somebody else")
    assert (await house.hub.cancel(sent.ids[0], client="test"))["state"] == "cancelled"
    assert await house.journal.write(outbound.claim, IMSI) is None


async def test_a_new_door_begins_at_the_newest_event_and_an_old_one_where_it_was(open_hub: Open) -> None:
    house = await open_hub()
    await house.hub.send(text(), client="test")
    newest = (await house.hub.events(0))[-1].seq
    assert await house.hub.cursor("mqtt") == newest
    await house.hub.send(text(), client="test")
    house = await open_hub()
    assert await house.hub.cursor("mqtt") == newest


async def test_a_pin_is_tried_once_for_ever(open_hub: Open) -> None:
    house = await open_hub()
    assert await house.hub.may_try_pin(ICCID, "1234")
    house = await open_hub()
    assert not await house.hub.may_try_pin(ICCID, "1234")
    assert await house.hub.may_try_pin(ICCID, "4321")
    await house.hub.pin_taken(ICCID, "4321")
    house = await open_hub()
    assert await house.hub.may_try_pin(ICCID, "4321")
    assert not await house.hub.may_try_pin(ICCID, "1234")


async def test_health_names_what_is_wrong(open_hub: Open) -> None:
    house = await open_hub()
    assert house.hub.health()["status"] == "ok"


async def test_sims_whose_ends_are_alike_each_have_a_dispatcher(open_hub: Open) -> None:
    house = await open_hub()
    twin = Imsi("9" + IMSI[1:])
    await house.journal.write(sims.seen, imsi=twin, iccid=None, imei=None, number=None)
    house = await open_hub()
    sent = await house.hub.send(text(sim=twin), client="test")
    assert (await house.hub.message(sent.ids[0]))["sim"] == twin
