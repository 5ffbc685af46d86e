"""What is remembered of modems' troubles: by the modem, wherever it is, else by the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.store import events, outbound, troubles
from appliance.store.clock import DAY_MS
from appliance.types import Imei
from tests.store.bench import SIM, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, OTHER = Imei("356938035643015"), Imei("356938035643023")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "hub.db")
    yield store
    store.close()


def remember(store: Store, place: str, imei: Imei | None, cure: str) -> None:
    store.machine.forward(10)
    store.write(troubles.remember, place=place, imei=imei, memory={"cure": cure}, told=None)


def known(store: Store, place: str, imei: Imei | None) -> str | None:
    memory = store.read(troubles.remembered, place=place, imei=imei)
    return None if memory is None else str(memory["cure"])


def test_a_modem_is_known_again_in_another_place_and_a_silent_one_by_its_place(store: Store) -> None:
    assert known(store, "usb 1-1", ONE) is None
    remember(store, "usb 1-1", ONE, "a")
    remember(store, "usb 1-2", OTHER, "b")
    assert (known(store, "usb 1-9", ONE), known(store, "usb 1-9", None)) == ("a", None)
    assert known(store, "usb 1-2", None) == "b"
    remember(store, "usb 1-2", ONE, "c")  # it moved
    assert known(store, "usb 1-1", ONE) == "c"
    remember(store, "usb 1-2", None, "d")  # silent, and still taken for the one that was there
    assert known(store, "usb 1-2", ONE) == "d"


def test_what_was_done_is_an_event_in_the_same_transaction(store: Store) -> None:
    told = {"rung": 5, "name": "USB", "outcome": "helped"}
    store.write(troubles.remember, place="usb 1-1", imei=ONE, memory={}, told=told)
    (event,) = store.read(events.after, 0, kinds=["recovery"])
    assert (event.subject, event.body) == (ONE, told)


def test_two_that_were_swapped_keep_each_its_own(store: Store) -> None:
    remember(store, "usb 1-1", ONE, "a")
    remember(store, "usb 1-2", OTHER, "b")
    remember(store, "usb 1-2", ONE, "c")
    assert (known(store, "usb 1-1", OTHER), known(store, "usb 1-1", ONE)) == ("b", "c")
    remember(store, "usb 1-1", OTHER, "d")
    assert (known(store, "usb 1-1", None), known(store, "usb 1-2", None)) == ("d", "c")


def test_one_that_says_who_it_is_only_later_is_still_the_same(store: Store) -> None:
    remember(store, "/dev/serial0", None, "a")
    assert known(store, "/dev/serial0", None) == "a"
    remember(store, "/dev/serial0", ONE, "b")
    remember(store, "/dev/serial0", None, "c")
    assert (known(store, "/dev/serial0", None), known(store, "elsewhere", ONE)) == ("c", "c")
    assert store.rows("SELECT count(*) FROM trouble") == [(1,)]


def test_a_jump_of_the_wall_clock_does_not_bring_back_who_was_there_before(store: Store) -> None:
    remember(store, "usb 1-1", ONE, "a")
    store.machine.wall -= 10 * 365 * 86400
    remember(store, "usb 1-1", OTHER, "b")
    assert known(store, "usb 1-1", None) == "b"


def test_the_machine_is_started_anew_at_most_so_often_a_day_and_not_with_a_text_on_its_way(store: Store) -> None:
    store.accept(store.message())
    claim = store.claim()
    assert not store.write(troubles.may_reboot, most=2)
    store.write(outbound.payload_next, claim.seq, claim.n)
    store.write(outbound.submitted, claim.seq, claim.n, imsi=SIM, mr=1)
    assert store.write(troubles.may_reboot, most=2)
    store.restart()
    assert store.write(troubles.may_reboot, most=2)
    assert not store.write(troubles.may_reboot, most=2)
    store.machine.forward(DAY_MS)
    assert store.write(troubles.may_reboot, most=2)
    assert len(store.read(events.after, 0, kinds=["recovery"])) == 3
