"""What must run, runs; what may fail is started again; stopping keeps the order."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from appliance.errors import PortGone
from appliance.supervisor import BACK_OFF, HEALTHY_AFTER, Supervisor, VitalTaskEnded, notify_systemd


class Time:
    """A clock that moves only by what is slept; a sleep ends at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


async def for_ever() -> None:
    await asyncio.Event().wait()


def supervisor(time: Time, told: list[str] | None = None) -> Supervisor:
    return Supervisor(sleep=time.sleep, clock=lambda: time.now, notify=(told if told is not None else []).append)


async def returns() -> None:
    return


async def raises() -> None:
    raise PortGone("unplugged")


@pytest.mark.asyncio
@pytest.mark.parametrize(("ends", "says"), [(returns, "it returned"), (raises, "unplugged")])
async def test_the_end_of_a_vital_task_is_the_end_of_the_process(
    ends: Callable[[], Awaitable[None]], says: str
) -> None:
    house = supervisor(Time())
    house.vital("other", for_ever)
    house.vital("journal", ends)
    with pytest.raises(VitalTaskEnded, match=f"journal ended: {says}"):
        await house.run()


@pytest.mark.asyncio
async def test_waiting_for_a_vital_task_ends_when_that_task_does() -> None:
    house = supervisor(Time())
    house.vital("http", raises)
    await house.until(asyncio.Event())
    with pytest.raises(VitalTaskEnded, match="unplugged"):
        await house.run()


@pytest.mark.asyncio
async def test_a_tended_task_is_started_again_with_growing_delays_and_never_given_up() -> None:
    time = Time()
    house = supervisor(time)
    enough = asyncio.Event()

    async def fails() -> None:
        if len(time.slept) == len(BACK_OFF) + 2:
            enough.set()
            await for_ever()
        raise PortGone("unplugged")

    tended = house.tend("modem", fails)
    await enough.wait()
    assert time.slept == [*BACK_OFF, BACK_OFF[-1], BACK_OFF[-1]]
    assert tended.last_error == "PortGone: unplugged"
    house.stop()
    await house.run()


@pytest.mark.asyncio
async def test_the_delay_starts_anew_after_a_healthy_run() -> None:
    time = Time()
    house = supervisor(time)
    enough = asyncio.Event()
    runs = 0

    async def fails() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            time.now += HEALTHY_AFTER
        if runs == 4:
            enough.set()
            await for_ever()
        raise PortGone("unplugged")

    house.tend("modem", fails)
    await enough.wait()
    assert time.slept == [BACK_OFF[0], BACK_OFF[1], BACK_OFF[0]]
    house.stop()
    await house.run()


@pytest.mark.asyncio
async def test_one_failing_tended_task_does_not_stop_another() -> None:
    house = supervisor(Time())
    other_ran = asyncio.Event()

    async def other() -> None:
        other_ran.set()
        await for_ever()

    house.tend("bad", raises)
    house.tend("good", other)
    await other_ran.wait()
    assert not house.tended["good"].waiting
    house.stop()
    await house.run()


@pytest.mark.asyncio
async def test_what_was_started_last_is_stopped_first() -> None:
    house = supervisor(Time())
    stopped: list[str] = []
    started = asyncio.Event()

    def named(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            try:
                if name == "last":
                    started.set()
                await for_ever()
            finally:
                stopped.append(name)

        return run

    for name in ("first", "middle", "last"):
        house.vital(name, named(name))
    await started.wait()
    house.stop()
    await house.run()
    assert stopped == ["last", "middle", "first"]


@pytest.mark.asyncio
async def test_a_released_task_stops_for_good_and_its_name_is_free() -> None:
    house = supervisor(Time())
    tended = house.tend("modem", for_ever)
    with pytest.raises(ValueError, match="tended already"):
        house.tend("modem", for_ever)
    await house.release(tended)
    house.tend("modem", for_ever)
    house.stop()
    await house.run()


@pytest.mark.asyncio
async def test_the_watchdog_is_fed_only_after_a_proof_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    told: list[str] = []
    house = supervisor(Time(), told)
    proofs = 0
    stuck = asyncio.Event()

    async def proof() -> None:
        nonlocal proofs
        proofs += 1
        if proofs == 3:
            stuck.set()
            await for_ever()

    house.watchdog(proof)
    house.ready()
    await stuck.wait()
    assert told == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    house.stop()
    await house.run()


def test_systemd_is_told_by_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify_systemd("READY=1")
        assert listener.recv(100) == b"READY=1"
