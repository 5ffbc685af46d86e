"""Commands reach the store in the order of their arrival, whatever fails in between."""

import asyncio

import pytest

from appliance.mqtt.door import Turnstile

pytestmark = pytest.mark.asyncio


async def test_who_comes_while_the_others_are_let_through_comes_after_them() -> None:
    turnstile, through = Turnstile(), list[int]()

    async def pass_through(arrival: int) -> None:
        await turnstile.turn(arrival)
        through.append(arrival)

    turnstile.close()
    tasks = [asyncio.create_task(pass_through(arrival)) for arrival in (2, 3)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(pass_through(1)))  # failed later than 2 and 3 came
    await asyncio.sleep(0)
    assert through == []
    late = asyncio.create_task(pass_through(4))
    turnstile.open()  # 4 has not begun to wait yet, and finds it open
    await asyncio.gather(*tasks, late)
    assert through == [1, 2, 3, 4]


async def test_one_that_is_closed_again_keeps_the_order() -> None:
    turnstile, through = Turnstile(), list[int]()

    async def pass_through(arrival: int) -> None:
        await turnstile.turn(arrival)
        through.append(arrival)
        if arrival == 1:
            turnstile.close()

    turnstile.close()
    tasks = [asyncio.create_task(pass_through(arrival)) for arrival in (1, 2, 3)]
    await asyncio.sleep(0)
    turnstile.open()
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0)
    assert through == [1]
    turnstile.open()
    await asyncio.gather(*tasks)
    assert through == [1, 2, 3]
