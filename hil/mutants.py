"""The checker is checked: ``python -m hil.mutants``. Each mutant breaks one law; its tests must turn red.

A mutant is text replaced in ``appliance``: what a hurried change might do. It is applied alone, to a copy of the tree
in a temporary directory; this program never imports the product. The table says which law it breaks and which tests
must notice: each of them, so that a law is not held by an accident elsewhere. First the same tests run on the copy as
it is: a test that is red anyway notices nothing.

Ends with 1 where a mutant survives one of its tests, where a text to be replaced is not there exactly once (a change of
the product has to bring the mutant along), where a test is not found or is red without a mutant, or where a mutant
does not even load: a program that does not start was never in danger of being shipped.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

ROOT: Final = Path(__file__).resolve().parents[1]

TEST_SECONDS: Final = 20
"""For one test: a mutant that makes a test wait for ever is noticed by its time-out."""

RUN_SECONDS: Final = 180
"""For all the tests of one mutant; longer is no verdict."""

_COPIED: Final = ("appliance", "tests", "hil", "udev", "pyproject.toml")
_VERDICT: Final = re.compile(r"^(FAILED|ERROR|PASSED) (\S+)", re.MULTILINE)
_TESTS_FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class Patch:
    """One replacement in a file below ``appliance``; ``old`` stands there exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken product: the law it breaks, and the tests (``file::name``, below the root) that must turn red."""

    name: str
    law: str
    patches: tuple[Patch, ...]
    tests: tuple[str, ...]


def _one(name: str, law: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, law, (Patch(file, old, new),), tests)


_SHELL_CLIENT: Final = "tests/shell/test_client.py"
_SHELL_STREAM: Final = "tests/shell/test_stream.py"
_COMMAND_LINE: Final = "hil/tests/test_command_line.py"
_ARRIVING_ROOM: Final = "modem/arriving.py"
_SUBMITTING_ROOM: Final = "modem/submitting.py"
_SIM_ROOM: Final = "modem/sim.py"
_LADDER_ROOM: Final = "modem/ladder.py"
_POISON_ROOM: Final = "modem/poison.py"
_NETWORK_ROOM: Final = "modem/network.py"
_MODEM: Final = "modem/modem.py"
_RECOVERY_ROOM: Final = "modem/recovery.py"
_CHANNEL: Final = "modem/channel.py"
_DIALOGUE: Final = "at/dialogue.py"
_DISPATCHER: Final = "hub/outbound.py"
_OUTBOUND: Final = "store/outbound.py"
_INBOUND: Final = "store/inbound.py"
_JOURNAL: Final = "store/journal.py"
_DOOR: Final = "mqtt/door.py"
_HOOK: Final = "webhooks/hook.py"

_ARRIVING: Final = "tests/modem/test_arriving.py::"
_LIFE: Final = "tests/modem/test_life.py::"
_SUBMIT: Final = "tests/modem/test_submit.py::"
_POISON: Final = "tests/modem/test_poison.py::"
_DEAF: Final = "tests/modem/test_deaf.py::"
_BEARERS: Final = "tests/modem/test_bearers.py::"
_ENDING: Final = "tests/modem/test_ending.py::"
_FAMILIES: Final = "tests/modem/test_families.py::"
_USSD: Final = "tests/modem/test_ussd.py::"
_RECOVERY: Final = "tests/modem/test_recovery.py::"
_USB_POWER: Final = "tests/modem/test_power_usb.py::"
_FLEET: Final = "tests/hub/test_fleet.py::"
_HUB: Final = "tests/hub/test_hub.py::"
_HUB_IN: Final = "tests/hub/test_inbound.py::"
_HUB_OUT: Final = "tests/hub/test_outbound.py::"
_STORE_IN: Final = "tests/store/test_inbound.py::"
_STORE_OUT: Final = "tests/store/test_outbound.py::"
_COMMANDS: Final = "tests/mqtt/test_commands.py::"
_EVENTS: Final = "tests/mqtt/test_events.py::"
_OUTAGES: Final = "tests/webhooks/test_outages.py::"

MUTANTS: Final[tuple[Mutant, ...]] = (
    # ---- the command line
    _one(
        "a send asked again by a new name",
        "S4: a broken connection does not text twice",
        "shell/client.py",
        "                    body=command,\n",
        '                    body={**command, "id": secrets.token_hex(16)},\n',
        f"{_SHELL_CLIENT}::test_a_send_that_broke_off_is_asked_again_under_the_same_key",
    ),
    _one(
        "each command a client of its own",
        "S4: the same key is the same message, whatever process asks",
        "store/tokens.py",
        'replace(token, name=PASSING.rstrip("-")) if token.name.startswith(PASSING) else token',
        "replace(token)",
        f"{_SHELL_CLIENT}::test_whatever_command_asks_it_is_one_client",
        f"{_COMMAND_LINE}::test_the_same_id_sends_once_whatever_process_asks",
    ),
    _one(
        "a killed command's token left",
        "C1: what lets somebody in lives no longer than its command",
        "owner.py",
        "if left.name.startswith(tokens.PASSING) and not is_alive(",
        "if not left.name and not is_alive(",
        f"{_COMMAND_LINE}::test_a_killed_command_leaves_no_token_behind_for_long",
    ),
    _one(
        "a stream begun anew",
        "followed events have no gap",
        "shell/stream.py",
        'headers["Last-Event-ID"] = str(self.last)',
        "pass",
        f"{_SHELL_STREAM}::test_a_broken_stream_goes_on_behind_the_last_event_and_tells_none_twice",
        f"{_COMMAND_LINE}::test_a_break_before_the_first_event_leaves_no_gap_either",
    ),
    _one(
        "a stream that repeats",
        "followed events come once",
        "shell/stream.py",
        "if self.last is not None and seq <= self.last:",
        "if self.last is None:",
        f"{_SHELL_STREAM}::test_a_broken_stream_goes_on_behind_the_last_event_and_tells_none_twice",
    ),
    _one(
        "any certificate",
        "C1: no token to whom is not trusted",
        "shell/wire.py",
        "if shown != self._pinned:",
        "if not shown:",
        "tests/shell/test_wire.py::test_another_certificate_is_told_nothing",
    ),
    _one(
        "a text that steers the terminal",
        "C1: no sender writes into a list",
        "shell/words.py",
        """lambda found: f"\\\\x{ord(found[0]):02x}", text""",
        "lambda found: found[0], text",
        "tests/shell/test_words.py::test_no_sender_steers_the_terminal",
        f"{_COMMAND_LINE}::test_the_inbox_is_a_list_for_people_with_names_and_the_newest_last",
    ),
    # ---- what is said before it is durable
    _one(
        "the journal answers before its COMMIT",
        "S1: accepted is said only after the commit, by HTTP, by MQTT and to the modem",
        _JOURNAL,
        "            if self._probe is not None:\n"
        "                for job in batch:\n"
        '                    self._probe("before", job.name)\n',
        "            for job in batch:\n"
        "                if job.future is not None and job.error is None and not job.future.done():\n"
        "                    job.future.get_loop().call_soon_threadsafe(job.future.set_result, job.result)\n"
        "            if self._probe is not None:\n"
        "                for job in batch:\n"
        '                    self._probe("before", job.name)\n',
        "tests/http/test_messages.py::test_no_202_before_the_commit",
        _COMMANDS + "test_no_acknowledgement_before_the_commit",
        "tests/store/test_journal.py::test_a_commit_that_fails_fails_every_verb_in_it_and_nothing_after_it",
    ),
    Mutant(
        "202 before the commit",
        "S1: 202 is answered only after the commit",
        (
            Patch(
                "http/handlers.py",
                "    sent = await call.hub.send(\n        command,\n",
                "    sending = __import__('asyncio').ensure_future(call.hub.send(\n        command,\n",
            ),
            Patch(
                "http/handlers.py",
                "        key=_idempotency_key(call.request),\n    )\n",
                "        key=_idempotency_key(call.request),\n    ))\n"
                "    await __import__('asyncio').wait({sending}, timeout=0)\n"
                "    if not sending.done():\n        return reply({}, status=202)\n"
                "    sent = sending.result()\n",
            ),
        ),
        ("tests/http/test_messages.py::test_no_202_before_the_commit",),
    ),
    Mutant(
        "PUBACK before the commit",
        "S1: a command is acknowledged to the broker only after its commit",
        (
            Patch(
                _DOOR,
                "            await self._carry_out(link, delivery, arrived, answer)\n",
                "            link.acknowledge(delivery, settled=lambda: self._settle(delivery))\n"
                "            await self._carry_out(link, delivery, arrived, answer)\n",
            ),
            Patch(
                _DOOR,
                "            link.publish(to, payload, json=True, correlation=delivery.correlation)\n"
                "        link.acknowledge(delivery, settled=lambda: self._settle(delivery))\n",
                "            link.publish(to, payload, json=True, correlation=delivery.correlation)\n",
            ),
        ),
        (
            _COMMANDS + "test_no_acknowledgement_before_the_commit",
            _COMMANDS + "test_a_full_disk_holds_commands_back_and_loses_none",
        ),
    ),
    _one(
        "synchronous=NORMAL",
        "S2: a power cut loses nothing that was accepted",
        "store/file.py",
        '("synchronous", "FULL", 2)',
        '("synchronous", "NORMAL", 1)',
        "tests/store/test_journal.py::test_the_settings_are_those_that_make_a_commit_durable",
        "tests/store/powercut/test_powercut.py::test_a_power_cut_loses_nothing_that_was_promised",
    ),
    _one(
        "a disk that refuses only what is new is not called full",
        "whoever is refused for want of room can read why",
        _JOURNAL,
        "            self.full = self.full or isinstance(failure, StoreFull)\n",
        "",
        "tests/store/test_disk_full.py::test_a_disk_that_refused_only_new_work_is_called_full_until_there_is_room",
    ),
    # ---- what arrives
    _one(
        "deleted on the modem before the commit",
        "R1: an inbound PDU is committed before it is deleted",
        _ARRIVING_ROOM,
        "        if not await self._commit(pdu):\n"
        "            return False\n"
        "        stores = self._stores\n"
        "        if stores is not None:\n"
        "            try:\n"
        "                await stores.delete(store, index)\n",
        "        stores = self._stores\n"
        "        if stores is not None:\n"
        "            try:\n"
        "                await stores.delete(store, index)\n"
        "                if not await self._commit(pdu):\n"
        "                    return False\n",
        _ARRIVING + "test_it_is_not_deleted_before_it_is_committed",
        _ARRIVING + "test_what_cannot_be_committed_stays_and_is_told_again_and_the_next_one_is_read",
        _ARRIVING + "test_an_error_that_is_not_ours_ends_the_session_and_nothing_is_deleted",
    ),
    _one(
        "+CNMA before the commit",
        "R1: an inbound PDU is committed before it is acknowledged",
        _ARRIVING_ROOM,
        "            if not await self._commit(_arrived(whose, raw, length, None, None)):\n"
        "                return False\n"
        "            self._direct.popleft()\n"
        "            if self._service == 1 and Quirk.NEVER_CNMA not in self._talk.profile.quirks:\n"
        "                await self._talk.attempt(commands.ACKNOWLEDGE)\n",
        "            if self._service == 1 and Quirk.NEVER_CNMA not in self._talk.profile.quirks:\n"
        "                await self._talk.attempt(commands.ACKNOWLEDGE)\n"
        "            if not await self._commit(_arrived(whose, raw, length, None, None)):\n"
        "                return False\n"
        "            self._direct.popleft()\n",
        _ARRIVING + "test_without_a_storage_messages_come_directly_and_are_acknowledged_after_the_commit",
        _ARRIVING + "test_what_cannot_be_committed_is_not_acknowledged",
    ),
    _one(
        "the hub says kept while it is being kept",
        "R1: the modem is told so after the commit",
        "hub/hub.py",
        "        await self._inbound.arrived(pdu)\n",
        "        __import__('asyncio').ensure_future(self._inbound.arrived(pdu))\n",
        _HUB_IN + "test_nothing_is_acknowledged_that_could_not_be_kept",
    ),
    _one(
        "no memory of PDUs that were read",
        "R2: one SMS read twice is one message",
        _INBOUND,
        '    digest = hashlib.sha256(raw.encode("utf-8", "backslashreplace")).digest()\n',
        '    digest = tx.db.execute("SELECT randomblob(32)").fetchone()[0]\n',
        _STORE_IN + "test_the_same_octets_of_the_same_sim_are_one",
        _HUB_IN + "test_one_sms_read_twice_is_one_and_two_texts_are_two",
    ),
    _one(
        "the same words are the same message",
        "R2: two different texts are two, also with the same words",
        _INBOUND,
        '    digest = hashlib.sha256(raw.encode("utf-8", "backslashreplace")).digest()\n',
        "    digest = hashlib.sha256((raw[:22] + raw[36:]).encode()).digest()\n",
        _HUB_IN + "test_the_same_words_a_second_later_are_another_text",
    ),
    _one(
        "what cannot be decoded ends the decoder",
        "R3: it is kept raw, and the next one is read",
        "hub/inbound.py",
        '            log.warning("an inbound PDU cannot be decoded: %s", error)\n',
        "            raise\n",
        _HUB_IN + "test_what_cannot_be_decoded_is_kept_and_the_next_one_is_read[zz]",
    ),
    _one(
        "rows that a crash left are not decoded",
        "R1: what was committed is told, whatever happened in between",
        "hub/inbound.py",
        "        for stored in await self._journal.read(inbound.undecided):\n",
        "        for stored in ():\n",
        _HUB_IN + "test_a_row_that_a_crash_left_is_decoded_at_the_next_start",
    ),
    _one(
        "an incomplete set is never told",
        "R1: it is told as incomplete after its window, never dropped",
        _INBOUND,
        '    for row in rows:\n        _tell(tx, row["row"], row["id"])\n',
        "",
        _STORE_IN + "test_an_incomplete_set_is_told_as_such_once_and_a_late_part_updates_it",
        _HUB_IN + "test_what_is_missing_is_told_and_a_late_part_completes_it",
    ),
    # ---- the commits around a submit
    Mutant(
        "no commit of the intent",
        "S3: the intent is committed before AT+CMGS",
        (
            Patch(
                _OUTBOUND,
                "\"UPDATE segment SET state = 'submitting', attempts = attempts + 1,",
                '"UPDATE segment SET attempts = attempts + 1,',
            ),
            Patch(
                _OUTBOUND,
                "\"UPDATE segment SET payload_next = 1 WHERE message = ? AND n = ? AND state = 'submitting'\"",
                "\"UPDATE segment SET state = 'submitting', payload_next = 1 WHERE message = ? AND n = ?\"",
            ),
        ),
        (
            _HUB_OUT + "test_the_intent_is_committed_before_the_modem_is_asked_and_the_doubt_before_the_pdu",
            _STORE_OUT + "test_while_a_segment_is_in_flight_nothing_of_its_lane_is_claimed",
            _STORE_OUT + "test_recovery_sends_again_only_what_surely_was_not_sent",
        ),
    ),
    _one(
        "no commit of 'payload next'",
        "S3: the doubt is committed between the prompt and the PDU",
        _DISPATCHER,
        "            await self._journal.write(outbound.payload_next, claim.seq, claim.n)\n",
        "",
        _HUB_OUT + "test_the_intent_is_committed_before_the_modem_is_asked_and_the_doubt_before_the_pdu",
    ),
    _one(
        "'payload next' is committed after the PDU",
        "S3: the doubt is committed between the prompt and the PDU",
        _CHANNEL,
        "                if self._answered is None:\n                    await payload_next()\n",
        "                if self._answered is None:\n                    self._loop.create_task(payload_next())\n",
        _SUBMIT + "test_payload_next_is_awaited_between_the_prompt_and_the_pdu",
        _SUBMIT + "test_when_payload_next_raises_the_prompt_is_left_by_esc_and_nothing_is_sent",
    ),
    _one(
        "a restart believes that nothing was handed over",
        "S3: after 'payload next' a crash leaves a doubt",
        _OUTBOUND,
        '        if row["payload_next"]:\n',
        "        if not row:\n",
        _STORE_OUT + "test_recovery_sends_again_only_what_surely_was_not_sent",
        "tests/store/test_crash.py::test_the_marker_between_prompt_and_payload_decides_what_a_crash_means",
    ),
    _one(
        "stopping abandons a submit",
        "S3: the result of what was handed over is recorded before the end",
        _DISPATCHER,
        "            return await asyncio.shield(task)\n",
        "            return await task\n",
        _HUB_OUT + "test_stopping_waits_for_the_result_of_what_was_handed_over",
    ),
    _one(
        "cancelling abandons a payload",
        "S3: from the payload to the result nothing is cancelled",
        _SUBMITTING_ROOM,
        "            if span.paid:\n                await asyncio.wait({task}, timeout=self._cancel)\n",
        "",
        _SUBMIT + "test_cancelled_after_the_pdu_the_result_is_waited_for_and_told_before_the_cancellation",
    ),
    _one(
        "a prompt is left by Ctrl-Z",
        "S3: what is broken off is not sent",
        _DIALOGUE,
        "        self._give_up()\n        return _ESC\n",
        '        self._give_up()\n        return b"\\x1a"\n',
        "tests/at/test_dialogue.py::test_a_prompt_is_left_by_esc",
        _SUBMIT + "test_when_payload_next_raises_the_prompt_is_left_by_esc_and_nothing_is_sent",
    ),
    # ---- doubt
    _one(
        "silence is a refusal",
        "S3: after the PDU, silence is in doubt and not a refusal to be repeated at once",
        _SUBMITTING_ROOM,
        '            raise _in_doubt("timeout", "no result of the submit")\n',
        '            raise _refused("timeout", "no result of the submit", RetryClass.RETRY_NOW)\n',
        _SUBMIT + "test_silence_after_the_pdu_is_in_doubt_after_the_deadline_and_until_then_nothing_is_written",
    ),
    _one(
        "an ERROR is a refusal",
        "S3: an ERROR without a number after the PDU says nothing",
        _SUBMITTING_ROOM,
        "            self._judge_reason(answered.final, after_payload=True)\n",
        "            self._judge_reason(answered.final, after_payload=False)\n",
        _SUBMIT + "test_what_says_nothing_after_the_pdu_is_in_doubt",
    ),
    _one(
        "sent again at once in doubt",
        "S3: a doubt waits for its evidence",
        _OUTBOUND,
        "            (tx.now + wait_ms, reason.code, reason.retry, reason.text, seq, n),\n        )\n    else:\n",
        "            (tx.now, reason.code, reason.retry, reason.text, seq, n),\n        )\n    else:\n",
        _STORE_OUT + "test_resend_is_once_marked_and_visible",
        _HUB_OUT + "test_in_doubt_resend_is_once_marked_and_after_the_wait",
    ),
    _one(
        "sent twice again in doubt",
        "S3: at most one automatic re-submission",
        _OUTBOUND,
        '    if policy == OnInDoubt.RESEND and not row["resent"]:\n',
        "    if policy == OnInDoubt.RESEND:\n",
        _STORE_OUT + "test_resend_is_once_marked_and_visible",
        _HUB_OUT + "test_in_doubt_twice_is_in_doubt_for_good",
    ),
    _one(
        "sent again under the policy hold",
        "S3: hold is never sent twice",
        _OUTBOUND,
        '    if policy == OnInDoubt.RESEND and not row["resent"]:\n',
        '    if not row["resent"]:\n',
        _STORE_OUT + "test_hold_is_never_sent_twice",
        _HUB_OUT + "test_in_doubt_hold_is_never_sent_twice",
    ),
    _one(
        "a re-submission without TP-RD",
        "S3: a re-submission has TP-RD set",
        _DISPATCHER,
        "        tpdu = with_reject_duplicates(claim.tpdu) if claim.reject_duplicates else claim.tpdu\n",
        "        tpdu = claim.tpdu\n",
        _HUB_OUT + "test_in_doubt_resend_is_once_marked_and_after_the_wait",
        _HUB_OUT + "test_a_segment_that_is_sent_again_is_the_same_but_for_tp_rd",
    ),
    _one(
        "a duplicate is hidden",
        "S3: duplicates are visible",
        _OUTBOUND,
        '        duplicate = duplicate or bool(part["resent"])\n',
        "",
        _STORE_OUT + "test_resend_is_once_marked_and_visible",
        _HUB_OUT + "test_in_doubt_resend_is_once_marked_and_after_the_wait",
    ),
    _one(
        "what may have left is failed",
        "S3: what may have been sent never becomes failed",
        _OUTBOUND,
        '    _end(tx, seq, n, SegmentState.IN_DOUBT if row["resent"] else SegmentState.FAILED, reason)\n',
        "    _end(tx, seq, n, SegmentState.FAILED, reason)\n",
        _STORE_OUT + "test_what_may_have_left_once_is_never_said_not_to_have",
    ),
    _one(
        "a modem is reset while a submit is in doubt",
        "S3: a reset would make the doubt certain",
        _LADDER_ROOM,
        "            return None if in_doubt and step.rung > Rung.REOPEN else step\n",
        "            return step\n",
        _LIFE + "test_no_reset_while_a_submit_is_in_doubt",
        "tests/modem/test_recovery.py::test_nothing_is_switched_while_a_submit_is_in_doubt",
    ),
    # ---- whose answer it is
    _one(
        "no question who answers after a time-out",
        "after a time-out our own IMEI has to come back before anything is believed",
        _CHANNEL,
        "        if self.desynchronised:\n            await self._resynchronise()\n",
        "        if self.desynchronised:\n            self._dialogue._end()\n",
        "tests/modem/test_channel.py::test_after_a_time_out_the_modem_is_asked_who_it_is_before_the_next_command",
        "tests/modem/test_channel.py::test_a_cancelled_command_leaves_no_result_to_the_next",
    ),
    _one(
        "a late OK passes for our identity",
        "after a time-out our own IMEI has to come back, a late OK cannot pass for it",
        _DIALOGUE,
        "                shown, self._shown = self._shown, None\n",
        "                shown, self._shown = self._shown or self._imei, None\n",
        "tests/at/test_dialogue.py::test_nothing_that_comes_in_ends_the_state_of_doubt_but_our_own_imei",
    ),
    # ---- order and segments
    _one(
        "the youngest of a lane goes first",
        "S5: first in, first out per SIM, recipient and priority",
        _OUTBOUND,
        "\" AND told IN ('queued', 'submitting') ORDER BY seq LIMIT 1\"",
        "\" AND told IN ('queued', 'submitting') ORDER BY seq DESC LIMIT 1\"",
        _STORE_OUT + "test_first_in_first_out_per_recipient_and_no_message_holds_up_another_recipient",
    ),
    _one(
        "another message between the segments of one",
        "S5: the segments of a message stay together",
        _OUTBOUND,
        "ORDER BY priority DESC, begun DESC, head LIMIT 1",
        "ORDER BY priority DESC, begun, head LIMIT 1",
        _STORE_OUT + "test_the_segments_of_a_message_stay_together",
        _STORE_OUT + "test_priority_first_then_what_has_begun_then_age",
    ),
    _one(
        "a message that waits holds up the others",
        "S5: a message that cannot be sent never holds up another one",
        _OUTBOUND,
        "SELECT head FROM lane WHERE imsi = ? AND ready = 1 ORDER",
        "SELECT head FROM lane WHERE imsi = ?1 AND 1 = (SELECT min(ready) FROM lane WHERE imsi = ?1) ORDER",
        _HUB_OUT + "test_a_message_that_waits_for_its_retry_delays_only_its_own_lane",
    ),
    _one(
        "a message's fault is every message's",
        "S5: a fault of the modem is not counted against the message",
        _DISPATCHER,
        "                await self._put_back(claim, reason, delay=delay, counted=False)\n",
        "                await self._put_back(claim, reason, delay=delay)\n",
        _HUB_OUT + "test_a_fault_of_the_modem_is_not_counted_against_the_message",
    ),
    _one(
        "submitted segments are sent again",
        "S6: only segments that were not submitted are sent again",
        _OUTBOUND,
        'm.seq = ? AND s.state = \'queued\'"\n            " ORDER BY s.n LIMIT 1",',
        "m.seq = ? AND s.state IN ('queued', 'submitted')\"\n            \" ORDER BY s.n LIMIT 1\",",
        _STORE_OUT + "test_segments_go_in_order_and_only_those_not_submitted_go_again",
    ),
    _one(
        "another reference for a segment that is tried again",
        "S6: the concatenation reference is the same in every attempt",
        _DISPATCHER,
        "        handed_over = False\n\n        async def payload_next",
        "        handed_over = False\n"
        "        if claim.total > 1 and claim.attempts > 1:\n"
        "            at = tpdu.index(bytes((5, 0, 3))) + 3\n"
        "            tpdu = tpdu[:at] + bytes((tpdu[at] ^ 1,)) + tpdu[at + 1 :]\n\n"
        "        async def payload_next",
        _HUB_OUT + "test_a_segment_that_is_sent_again_is_the_same_but_for_tp_rd",
    ),
    _one(
        "references begin anew with each start",
        "S6: the concatenation reference survives a restart",
        "hub/hub.py",
        "        self._reference = await self._journal.read(outbound.last_seq)\n",
        "",
        _HUB + "test_concatenation_references_differ_from_message_to_message_also_after_a_restart",
    ),
    # ---- reports
    _one(
        "the oldest segment is reported first",
        "D1: reports are matched newest first, through the wrap of TP-MR",
        "store/reports.py",
        "ORDER BY s.submitted_hub DESC, s.message DESC, s.n DESC",
        "ORDER BY s.submitted_hub, s.message, s.n",
        "tests/store/test_reports.py::test_the_newest_of_300_sends_through_the_wrap",
        _HUB_IN + "test_the_newest_wins_after_the_wrap_of_the_message_reference",
    ),
    _one(
        "anybody's report is ours",
        "D1: reports are matched by recipient too",
        "store/reports.py",
        '        if evidence.same_number(row["recipient"], recipient):\n'
        '            if row["state"] == SegmentState.SUBMITTED:\n',
        '        if True:\n            if row["state"] == SegmentState.SUBMITTED:\n',
        "tests/store/test_reports.py::test_another_sim_or_recipient_or_reference_is_another_message",
        _HUB_IN + "test_another_recipients_report_is_kept_as_an_orphan",
    ),
    _one(
        "a report before the result is lost",
        "D1: also when the report comes before +CMGS:",
        _OUTBOUND,
        "    _orphan(tx, seq, n, imsi=imsi, mr=mr)\n",
        "",
        "tests/store/test_reports.py::test_a_report_before_the_result_waits_for_it",
    ),
    _one(
        "the first segment's report is the message's",
        "D1: all segments count",
        "store/states.py",
        "    found = frozenset(states)\n",
        "    found = frozenset({next(iter(states))})\n",
        "tests/store/test_reports.py::test_all_segments_count",
        _HUB_IN + "test_all_segments_count",
    ),
    # ---- MQTT
    _one(
        "the cursor moves at publish",
        "R1: the cursor moves over what the broker has acknowledged",
        "mqtt/tail.py",
        "                        topic, payload = told\n",
        "                        topic, payload = told\n                        acknowledged(seq, 0)\n",
        _EVENTS + "test_the_cursor_passes_only_what_is_acknowledged_without_a_gap",
        _EVENTS + "test_what_the_broker_refuses_is_told_again_and_not_passed_over",
    ),
    _one(
        "the cursor passes a gap",
        "R1: the cursor moves over the longest acknowledged prefix only",
        "mqtt/tail.py",
        "        while self._order and self._order[0] in self._acknowledged:\n",
        "        while self._order and min(self._order) <= max(self._acknowledged, default=-1):\n"
        "            self._acknowledged.add(self._order[0])\n",
        "tests/mqtt/test_prefix.py::test_the_prefix_ends_before_the_first_that_is_not_acknowledged",
        _EVENTS + "test_the_cursor_passes_only_what_is_acknowledged_without_a_gap",
    ),
    _one(
        "retained commands are carried out",
        "a command with the RETAIN flag is refused and reported",
        _DOOR,
        '        if delivery.retain:\n            raise Rejected("retained"',
        '        if delivery.retain and not delivery.payload:\n            raise Rejected("retained"',
        _COMMANDS + "test_a_retained_command_is_refused_and_clearing_it_is_none",
    ),
    _one(
        "a redelivery is a new command",
        "S4: what the broker hands over again after a crash is one message",
        _DOOR,
        "        reusable = not delivery.dup or ",
        "        reusable = True or ",
        _COMMANDS + "test_a_kill_after_the_commit_and_before_the_acknowledgement_makes_no_second_text",
    ),
    # ---- a modem's life
    _one(
        "poison is never left alone",
        "R3: a message that makes the modem start anew jams nobody",
        _POISON_ROOM,
        "        return self._restarts[store, index] < _PROVEN\n",
        "        return self._restarts[store, index] < 1000\n",
        _POISON + "test_all_others_arrive_and_it_is_left_alone_unread_and_undeleted",
        _POISON + "test_announced_it_is_found_out_too",
    ),
    _one(
        "poison is listed again and again",
        "R3: after one restart a storage is read message by message",
        _POISON_ROOM,
        "            self._unlisted.add(store)\n",
        "            pass\n",
        _POISON + "test_after_one_restart_the_storage_is_read_one_by_one",
        _POISON + "test_all_others_arrive_and_it_is_left_alone_unread_and_undeleted",
    ),
    _one(
        "poison is deleted unread",
        "R1: nothing is deleted that was not committed",
        "modem/stores.py",
        "        if not self._poison.allows(store, index):\n            return None\n",
        "        if not self._poison.allows(store, index):\n"
        "            await self._ask(commands.delete(index))\n"
        "            return None\n",
        _POISON + "test_all_others_arrive_and_it_is_left_alone_unread_and_undeleted",
    ),
    _one(
        "poison is suspected for ever after one chance restart",
        "R3: what was read since is harmless",
        _POISON_ROOM,
        "        self._restarts.pop((store, index), None)\n",
        "        return\n",
        _POISON + "test_a_chance_restart_is_not_counted_against_the_next_message_in_its_place",
        _POISON + "test_what_is_suspected",
    ),
    _one(
        "an unannounced message changes nothing",
        "R1: a modem that has gone deaf is swept every half minute",
        _ARRIVING_ROOM,
        "                    if unannounced and taken and entry.raw and not self._excused:\n",
        "                    if unannounced and not taken and entry.raw and not self._excused:\n",
        _DEAF + "test_found_deaf_it_is_set_up_anew_once_and_swept_every_half_minute",
    ),
    _one(
        "an announced message that a sweep finds is an unannounced one",
        "a modem that tells what arrives is not set up anew",
        _ARRIVING_ROOM,
        "                    if unannounced and taken and entry.raw and not self._excused:\n",
        "                    if unannounced and taken and entry.raw:\n",
        _DEAF + "test_what_was_announced_while_it_was_swept_makes_nobody_deaf",
        _DEAF + "test_very_many_indications_make_nobody_deaf",
    ),
    _one(
        "a setting that does not hold is believed",
        "R1: where no setting of +CNMI holds, sweeps find what arrives in half a minute",
        _ARRIVING_ROOM,
        '        self.deaf = True\n        self._talk.tell(last_error="no setting',
        '        self._talk.tell(last_error="no setting',
        _DEAF + "test_where_no_setting_holds_it_is_told_and_swept_every_half_minute",
    ),
    _one(
        "a flood of ready lines sweeps without pause",
        "a modem that says without end that it is ready starves nobody",
        _ARRIVING_ROOM,
        "        self.wanted = True\n",
        "        self._all_dirty = True\n",
        _DEAF + "test_a_flood_of_ready_lines_neither_sweeps_without_pause_nor_starves_the_rest",
    ),
    _one(
        "what is full is not told",
        "M3: a full storage is reported",
        _ARRIVING_ROOM,
        "        self._talk.tell(storage=gauge, full=full)\n",
        "        self._talk.tell(storage=gauge)\n",
        _DEAF + "test_nearly_full_is_told_and_untold",
    ),
    _one(
        "any failure is the bearer's",
        "a bearer is changed only for failures that it can be blamed for",
        _SUBMITTING_ROOM,
        "self._blamed + 1 if reason.code in _BEARER else 0",
        "self._blamed + 1",
        _BEARERS + "test_what_no_bearer_can_be_blamed_for_changes_none",
        _BEARERS + "test_failures_that_are_not_in_a_row_change_nothing",
    ),
    _one(
        "a bearer that costs the network is kept",
        "a bearer without a network is given up",
        _MODEM,
        "                if self._network.lost_for >= BEARER_PATIENCE:\n",
        "                if self._network.lost_for >= 100 * BEARER_PATIENCE:\n",
        _BEARERS + "test_a_bearer_that_costs_the_network_is_given_up_after_two_minutes",
    ),
    _one(
        "a network that refuses is answered with resets",
        "a modem that the network refuses is left alone",
        _NETWORK_ROOM,
        "        if denied or self.lost_for < _WITHOUT:\n",
        "        if self.lost_for < _WITHOUT:\n",
        _RECOVERY + "test_a_network_that_refuses_is_not_stormed_with_resets",
    ),
    _one(
        "the tries of a family are counted by nobody",
        "M2: each family's counter is asked",
        _SIM_ROOM,
        'dict.fromkeys((self._talk.profile.sim.tries, "+CPINR"))',
        '("+CPINR",)',
        _FAMILIES + "test_the_tries_are_counted_by_its_familys_counter",
    ),
    _one(
        "what could not be remembered was not done",
        "M1: a full disk keeps nobody from being revived",
        _RECOVERY_ROOM,
        '        except ModemhubError as error:\n            self._talk.tell(last_error=f"what was done against',
        '        except PowerFailed as error:\n            self._talk.tell(last_error=f"what was done against',
        _ENDING + "test_a_full_disk_keeps_nobody_from_reviving_a_modem",
    ),
    _one(
        "the memory of a recovery is not kept",
        "the ladder goes on where it was, also after a restart of the hub",
        "hub/hub.py",
        "write(troubles.remember, place=place, imei=imei, memory=asdict(memory), told=told)",
        "write(troubles.remember, place=place, imei=imei, memory={}, told=told)",
        _FLEET + "test_after_a_restart_of_the_hub_the_climb_goes_on_where_it_was",
        _FLEET + "test_when_nothing_helped_a_restart_of_the_hub_begins_no_new_climb_at_once",
    ),
    _one(
        "the memory of a recovery is the place's",
        "a modem is known again wherever it is plugged in",
        "store/troubles.py",
        "    modem = imei or _last_in(tx.db, place) or place\n",
        "    modem = place\n",
        "tests/store/test_troubles.py::test_a_modem_is_known_again_in_another_place_and_a_silent_one_by_its_place",
        "tests/store/test_troubles.py::test_two_that_were_swapped_keep_each_its_own",
    ),
    _one(
        "a power cycle does not look for a doubt",
        "S3: nothing is switched while a submit is in doubt",
        _RECOVERY_ROOM,
        "        if self._in_doubt():\n            raise PowerFailed(IN_DOUBT)\n        return remedies",
        "        return remedies",
        _ENDING + "test_a_power_cycle_asked_for_just_before_a_pdu_leaves_waits_for_no_doubt_and_makes_none",
        _ENDING + "test_what_was_lost_in_doubt_with_its_port_is_not_reset_away",
    ),
    _one(
        "a lost network is reason enough to break a doubt",
        "S3: nothing above rung 1 is done while a submit is in doubt",
        _MODEM,
        "self._network.search(in_doubt=self._submitting.in_doubt)",
        "self._network.search(in_doubt=False)",
        _ENDING + "test_radio_and_reset_against_a_lost_network_wait_for_a_doubt_too",
    ),
    _one(
        "a neighbour's doubt is nobody's business",
        "S3: a supply is not cut while a submit on a neighbour is in doubt",
        "hub/fleet.py",
        "all(self._idle(modem) and not modem.in_doubt for modem in there)",
        "all(self._idle(modem) for modem in there)",
        _FLEET + "test_a_supply_is_not_cut_where_a_neighbours_submit_is_in_doubt",
    ),
    _one(
        "whoever asked for a power cycle waits for ever",
        "whoever asks a modem for something is answered",
        _MODEM,
        '            give_up(self._talk.cycle, f"{self._place.name}: is not tended any more")\n',
        "",
        _ENDING + "test_stopped_for_good_whoever_waits_is_told",
    ),
    _one(
        "a USSD request outlives its port",
        "whoever asks a modem for something is answered",
        _MODEM,
        "            self._ussd.ended(why)\n",
        "",
        _USSD + "test_a_port_that_ends_ends_the_request_at_once",
    ),
    Mutant(
        "a second cancellation leaves the line open",
        "however a session ends, its line is free",
        (
            Patch(
                _MODEM,
                "settle(channel)\n        finally:\n            talk.channel = None\n",
                "settle(channel)\n        except ModemError:\n            raise\n"
                "        else:\n            talk.channel = None\n",
            ),
        ),
        (_ENDING + "test_stopped_while_a_submit_has_no_result_it_leaves_no_line_open",),
    ),
    _one(
        "the roster believes the place that a modem has left",
        "a modem is told by the place where it is",
        "hub/roster.py",
        "        if self._places.setdefault(status.imei, status.place) != status.place:\n            return\n",
        "",
        _FLEET + "test_what_a_place_says_of_a_modem_that_has_moved_is_no_news_of_it",
        _FLEET + "test_in_any_order_two_that_were_swapped_are_told_by_the_place_where_they_are",
    ),
    _one(
        "a modem is taken for the one before until it says who it is",
        "a modem is told by the place where it is",
        _MODEM,
        "        if talk.status.state.heard:\n            talk.tell(state=ModemState.BRINGING_UP)\n",
        "        talk.tell(state=ModemState.BRINGING_UP)\n",
        _FLEET + "test_two_identical_modems_that_are_swapped_are_each_told_where_they_are",
    ),
    Mutant(
        "authorisation is not given back to a device after a cancellation",
        "rung 5 ends with the device authorised, whatever happens",
        (
            Patch("modem/power/span.py", "        await asyncio.shield(task)\n", "        await task\n"),
            Patch(
                "modem/power/usb.py",
                "        except BaseException:\n            with contextlib.suppress(PowerFailed):\n",
                "        except PowerFailed:\n            with contextlib.suppress(PowerFailed):\n",
            ),
        ),
        (_USB_POWER + "test_a_cancelled_remedy_ends_first",),
    ),
    _one(
        "two pulses at once",
        "two remedies on one modem do not add up",
        "modem/power/span.py",
        "        if self._doing is not None:\n",
        "        if self._doing is what:\n",
        _USB_POWER + "test_two_remedies_on_one_device_do_not_run_at_once",
        "tests/modem/test_power_board.py::test_two_remedies_at_once_do_not_add_up",
    ),
    # ---- keys, quotas, PINs, clocks
    _one(
        "a key is forgotten a day early",
        "S4: the same key is the same message for 7 days",
        _OUTBOUND,
        "IDEMPOTENCY_MS = 7 * DAY_MS\n",
        "IDEMPOTENCY_MS = 6 * DAY_MS\n",
        _STORE_OUT + "test_same_key_same_request_is_the_same_message_for_7_days_also_after_a_restart",
    ),
    _one(
        "another request under the same key",
        "S4: the same key with another body is a conflict",
        _OUTBOUND,
        '        if {row["ordinal"]: row["fingerprint"] for row in rows} != {',
        "        if not rows and {} != {",
        _STORE_OUT + "test_same_key_another_request_is_a_conflict",
        _HUB + "test_the_same_key_with_another_body_is_a_conflict",
    ),
    _one(
        "spending is not counted",
        "C2: caps are counted in the transaction that accepts",
        _OUTBOUND,
        "    _book(tx, subject, segments, tx.now // HOUR_MS)\n",
        "",
        _STORE_OUT + "test_no_24_hours_exceed_a_cap_and_waiting_as_told_helps",
        _HUB + "test_the_sim_cap_counts_segments_and_no_restart_refills_it",
    ),
    Mutant(
        "spending is counted outside of the transaction",
        "C2: caps are counted in the transaction that accepts, and survive a restart",
        (
            Patch(
                _OUTBOUND,
                "    hour = now // HOUR_MS\n",
                "    hour = now // HOUR_MS\n"
                "    kept = _SPENT.get((id(db), subject), {})\n"
                "    return sorted((at, count) for at, count in kept.items() if at >= hour - SPEND_HOURS)\n",
            ),
            Patch(
                _OUTBOUND,
                "def _book(tx: Transaction, subject: str, segments: int, hour: int) -> None:\n",
                "_SPENT: dict[tuple[int, str], dict[int, int]] = {}\n\n\n"
                "def _book(tx: Transaction, subject: str, segments: int, hour: int) -> None:\n"
                "    kept = _SPENT.setdefault((id(tx.db), subject), {})\n"
                "    kept[hour] = max(0, kept.get(hour, 0) + segments)\n"
                "    return\n",
            ),
        ),
        (
            _STORE_OUT + "test_all_or_nothing",
            _STORE_OUT + "test_caps_are_per_client_and_per_sim_and_a_restart_refills_nothing",
            _HUB + "test_the_sim_cap_counts_segments_and_no_restart_refills_it",
        ),
    ),
    _one(
        "a PIN is tried again",
        "M2: a PIN is tried once per SIM and PIN, and a restart does not forget that",
        "store/sims.py",
        "        ).rowcount\n        == 1\n",
        "        ).rowcount\n        >= 0\n",
        _HUB + "test_a_pin_is_tried_once_for_ever",
    ),
    _one(
        "a PIN is tried without asking",
        "M2: a PIN is tried only after the intent was committed",
        _SIM_ROOM,
        "        if not await talk.host.may_try_pin(iccid, pin):\n",
        "        if not pin:\n",
        _LIFE + "test_a_pin_is_entered_after_the_host_has_committed_the_intent",
        _LIFE + "test_a_wrong_pin_is_tried_once",
    ),
    _one(
        "a PIN that was right is not entered again",
        "M2: a PIN that the SIM has taken is no try that was spent",
        _SIM_ROOM,
        "        await talk.host.pin_taken(iccid, pin)\n",
        "",
        _LIFE + "test_a_pin_that_was_right_is_entered_again_when_the_card_has_lost_its_power",
    ),
    _one(
        "a try of a PIN is taken that was left to a person",
        "M2: never when a try was spent already",
        _SIM_ROOM,
        "        if left is not None and left <= _SPARED:\n",
        "        if left is not None and left < _SPARED:\n",
        _LIFE + "test_no_pin_is_entered_where_a_try_was_spent_already",
    ),
    _one(
        "any wall clock is believed",
        "T1: a clock jump of ten years loses, expires or reorders nothing",
        "store/clock.py",
        "(off if 0 <= off <= BELIEVABLE_OFF_MS else 0)",
        "off",
        "tests/store/test_clock.py::test_after_a_reboot_it_goes_on_plus_what_the_wall_clock_can_be_believed",
        _STORE_OUT + "test_a_reboot_with_a_mad_wall_clock_expires_nothing",
    ),
    _one(
        "hub time is the wall clock",
        "T1: timers are monotonic",
        "store/clock.py",
        "        return self._hub + max(0, self._boottime_ms() - self._boot)\n",
        "        return self.wall_ms()\n",
        "tests/store/test_clock.py::test_a_jump_of_the_wall_clock_does_not_move_hub_time",
        _HUB + "test_a_clock_jump_expires_nothing",
    ),
    _one(
        "a result is lost on a full disk",
        "S2: a result that cannot be written is kept until it can",
        _DISPATCHER,
        "                await self._sleep(FULL_DISK_RETRY)\n",
        "                return None  # type: ignore[return-value]\n",
        _HUB_OUT + "test_a_result_that_finds_the_disk_full_is_written_when_there_is_room",
    ),
    _one(
        "every token may do everything",
        "every route lets in its scopes and nobody else",
        "http/auth.py",
        '    return not scopes or "admin" in client.scopes or not scopes.isdisjoint(client.scopes)\n',
        "    return not scopes or bool(client.scopes)\n",
        "tests/http/test_access.py::test_a_route_lets_in_its_scopes_and_admin_and_nobody_else",
    ),
    _one(
        "any token claims the hub",
        "a hub that nobody owns belongs to who has its file",
        "store/claim.py",
        "    if not hmac.compare_digest(known, claim):\n",
        "    if not known:\n",
        "tests/hub/test_claim.py::test_who_brings_it_is_the_owner_once",
        "tests/http/test_ownership.py::test_guessing_the_claim_is_slowed_down",
    ),
    _one(
        "the claim may be guessed at leisure",
        "guessing the claim is slowed down",
        "http/auth.py",
        '            if refused.code == "forbidden":\n',
        '            if refused.code == "unauthorized":\n',
        "tests/http/test_ownership.py::test_guessing_the_claim_is_slowed_down",
    ),
    _one(
        "a password is a token everywhere",
        "HTTP Basic lets in where a browser asks and nothing can be changed, and nowhere else",
        "http/door.py",
        "bearer(request) or (basic(request) if route.basic else None)",
        "bearer(request) or basic(request)",
        "tests/http/test_access.py::test_the_token_is_a_password_where_a_browser_asks_and_nothing_can_be_changed",
    ),
    _one(
        "the console's files are anywhere",
        "a path is a chain of plain names below one folder of the package",
        "http/pages.py",
        "    if not all(_NAME.fullmatch(name) for name in names):\n        return None\n",
        "",
        "tests/http/test_pages.py::test_nothing_else_is_a_file",
    ),
    _one(
        "a minute has no bound",
        "C2: a token sends no more messages in a minute than it may",
        "http/pace.py",
        "        if missing > 0:\n",
        "        if missing > messages:\n",
        "tests/http/test_pace.py::test_a_bucket_holds_a_minute_and_fills_evenly",
        "tests/http/test_ownership.py::test_more_messages_in_a_minute_than_a_token_may_are_put_off",
    ),
    _one(
        "a stream outlives its token",
        "a revoked token ends what it began",
        "http/handlers.py",
        "if await call.hub.clients.authenticate(call.token) is None:",
        "if await call.hub.clients.authenticate(call.token) is False:  # type: ignore[comparison-overlap]",
        "tests/http/test_events.py::test_a_silent_stream_shows_signs_of_life_and_ends_with_the_token",
    ),
    _one(
        "the log quotes what is no HTTP",
        "C1: no secret in a log line",
        "http/door.py",
        "    return kind is not None and issubclass(kind, HttpProcessingError)\n",
        "    return False and kind is HttpProcessingError\n",
        "tests/http/test_access.py::test_what_is_no_http_leaves_no_token_in_the_log",
    ),
    _one(
        "the description leaves out a refusal",
        "nothing is answered that is not described",
        "http/routes.py",
        '        codes = [*self.refusals, "invalid", "internal", "unavailable"]\n',
        '        codes = [*self.refusals, "internal", "unavailable"]\n',
        "tests/http/test_access.py::test_what_is_refused_is_a_problem",
        "tests/http/test_ownership.py::test_a_token_that_cannot_be_is_refused",
    ),
    # ---- webhooks
    _one(
        "Home Assistant's return goes unnoticed",
        "what comes while Home Assistant is away is told on its return",
        "mqtt/homeassistant/presence.py",
        "            self.told = self.sure\n",
        "            pass\n",
        "tests/mqtt/test_homeassistant.py::test_away_outlasts_a_restart_of_the_hub",
    ),
    _one(
        "what is told to nobody counts as told",
        "what comes while Home Assistant is away is told on its return",
        "mqtt/homeassistant/presence.py",
        "        if self.where is Whereabouts.ONLINE:\n            self.sure = self.told\n",
        "        self.sure = self.told\n",
        "tests/mqtt/test_discovery.py::test_a_birth_out_of_nowhere_shows_that_nobody_heard",
    ),
    _one(
        "the last hub leaves the group",
        "what is published for a group waits for one that can send it",
        "mqtt/share.py",
        "not (unable_long and self.others(now=now))",
        "not unable_long",
        "tests/mqtt/test_group.py::test_a_hub_leaves_only_what_another_can_do",
    ),
    _one(
        "a webhook's cursor moves before the answer",
        "a webhook tells each event until it is answered: a crash between loses none",
        _HOOK,
        "        match await sender.tell(event):\n            case Told():\n",
        "        await self._hub.advance(self.cursor, event.seq)\n"
        "        match await sender.tell(event):\n            case Told():\n",
        _OUTAGES + "test_no_step_can_be_cut_so_that_an_event_is_lost[advance-after-1]",
    ),
    _one(
        "a webhook's cursor does not move with its debts",
        "an event is ahead of the cursor or owed, never neither and never both",
        "store/webhooks.py",
        "    events.advance(tx, PREFIX + hook, seqs[-1])\n",
        "",
        "tests/store/test_webhooks.py::test_owing_moves_the_cursor_in_the_same_commit_or_not_at_all",
        _OUTAGES + "test_nothing_is_given_up_unasked_after_days_without_the_hub",
    ),
    _one(
        "a webhook goes wherever its name leads",
        "a webhook reaches nothing that only this machine reaches",
        "webhooks/sender.py",
        "        if word is not None:\n",
        "        if word is not None and not address:\n",
        "tests/webhooks/test_addresses.py::test_a_literal_is_not_connected_to[127.0.0.1]",
        "tests/webhooks/test_addresses.py::test_a_name_that_leads_here_is_not_connected_to_whenever_it_does",
    ),
    _one(
        "retention forgets what a webhook owes",
        "what is owed is kept, with its text",
        "store/retention.py",
        "coalesce((SELECT min(event) FROM webhook_retry), seq + 1)",
        "seq + 1",
        "tests/store/test_webhooks.py::test_retention_keeps_what_is_owed_with_its_text_and_nothing_longer",
        _OUTAGES + "test_what_is_owed_outlives_a_short_retention",
    ),
    _one(
        "a webhook that answers with errors is asked for one event only",
        "an event that a receiver stumbles over holds up no other",
        _HOOK,
        "return not failure.down",
        "return False",
        _OUTAGES + "test_many_that_it_stumbles_over_delay_others_by_a_minute_at_most",
    ),
)


def complaints(root: Path, mutants: Sequence[Mutant] = MUTANTS) -> list[str]:
    """What the table says that is not so: a text that is not there exactly once, a test that does not exist."""
    found = []
    for mutant in mutants:
        for patch in mutant.patches:
            times = (root / "appliance" / patch.file).read_text(encoding="utf-8").count(patch.old)
            if times != 1:
                found.append(f"{mutant.name}: in appliance/{patch.file} {times} times instead of once:\n{patch.old}")
        for test in mutant.tests:
            file, _, name = test.partition("[")[0].partition("::")
            source = (root / file).read_text(encoding="utf-8") if (root / file).is_file() else ""
            if not re.search(rf"^(?:async )?def {name or 'test_.*'}\(", source, re.MULTILINE):
                found.append(f"{mutant.name}: there is no {test}")
    return found


def changed(source: str, mutant: Mutant, file: str) -> str:
    """The source of this file (below ``appliance``) with the mutant's replacements in it."""
    for patch in mutant.patches:
        if patch.file == file:
            source = source.replace(patch.old, patch.new)
    return source


@dataclass(frozen=True, slots=True)
class Outcome:
    """What pytest said: its exit code (None: out of time), the tests that were red and green, all that it wrote."""

    code: int | None
    red: frozenset[str]
    green: frozenset[str]
    said: str


def among(found: Collection[str], test: str) -> bool:
    """Whether a test is among these; a parametrized test is when one of its cases is, a file when one of its tests."""
    return any(one == test or one.startswith((f"{test}[", f"{test}::")) for one in found)


def run(tree: Path, tests: Sequence[str]) -> Outcome:
    """Run these tests on this tree."""
    command = (
        *(sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "--no-header", "-p", "no:cacheprovider"),
        *("-o", f"timeout={TEST_SECONDS}", *tests),
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=tree, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = process.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        said = output.read()
    verdicts = _VERDICT.findall(said)
    red = frozenset(test for word, test in verdicts if word != "PASSED")
    return Outcome(code, red, frozenset(test for word, test in verdicts if word == "PASSED"), said)


def judge(tree: Path, mutant: Mutant, tests: Sequence[str]) -> tuple[bool, str]:
    """Apply the mutant, run these tests of it, take it back; whether all of them turned red, and in words what did."""
    if not tests:
        return False, "none of its tests can run here"
    files = {patch.file: tree / "appliance" / patch.file for patch in mutant.patches}
    before = {file: path.read_text(encoding="utf-8") for file, path in files.items()}
    try:
        for file, path in files.items():
            path.write_text(changed(before[file], mutant, file), encoding="utf-8")
        outcome = run(tree, tests)
    finally:
        for file, path in files.items():
            path.write_text(before[file], encoding="utf-8")
    if outcome.code is None:
        return False, f"no verdict in {RUN_SECONDS} s"
    if outcome.code not in {0, _TESTS_FAILED}:
        return False, f"the tests could not be run (pytest ended with {outcome.code}):\n{outcome.said[-2000:]}"
    if green := [test for test in tests if not among(outcome.red, test)]:
        return False, "not noticed by " + ", ".join(green)
    return True, ", ".join(_short(test) for test in tests)


def _short(test: str) -> str:
    file, _, name = test.partition("::")
    return f"{Path(file).parent.name}/{Path(file).stem.removeprefix('test_')}: {name.removeprefix('test_')[:60]}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hil.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="only mutants with one of these words in their name")
    words = parser.parse_args(arguments).words
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    if wrong := complaints(ROOT):
        print("\n".join(wrong))
        return 1
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        tree = Path(place)
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (ROOT / name).exists():
                shutil.copy(ROOT / name, tree / name)
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        print(f"{len(chosen)} mutants, {len(tests)} tests; first without any mutant", flush=True)
        outcome = run(tree, tests)
        if outcome.code != 0:
            print(f"red without any mutant, so they prove nothing:\n{outcome.said[-4000:]}")
            return 1
        for test in tests:
            if not among(outcome.green, test):
                print(f"left out, as it is skipped here: {test}")
        alive = 0
        for number, mutant in enumerate(chosen, start=1):
            began = time.monotonic()
            killed, how = judge(tree, mutant, [test for test in mutant.tests if among(outcome.green, test)])
            alive += not killed
            seconds = time.monotonic() - began
            print(f"{number:3} {'killed' if killed else 'ALIVE ':6} {seconds:4.0f} s  {mutant.name}")
            print(f"{'':19}{mutant.law}\n{'':19}{how}", flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} mutants killed by every test that must notice")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
