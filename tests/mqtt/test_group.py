"""When a hub leaves the commands that hubs share to the others."""

import pytest

from appliance.mqtt.share import BELIEVED, LEAVE_AFTER, Group


def test_a_hub_leaves_only_what_another_can_do() -> None:
    group = Group("me", now=0)
    assert group.takes_part(able=False, spent=False, now=1000), "nobody else is known: what comes is kept here"
    group.heard("you", b'{"able": true}', now=1000)
    assert not group.takes_part(able=False, spent=False, now=1000)
    assert group.takes_part(able=True, spent=False, now=1001)
    assert group.takes_part(able=False, spent=False, now=1001 + LEAVE_AFTER - 1), "it may be back in a moment"
    assert not group.takes_part(able=False, spent=False, now=1001 + LEAVE_AFTER)
    assert not group.takes_part(able=True, spent=True, now=1001 + LEAVE_AFTER)
    assert group.takes_part(able=False, spent=False, now=1001 + BELIEVED), "the other has not been heard of since"


@pytest.mark.parametrize("said", [b'{"able": false}', b"", b"[]", b'{"able": 1}', b"\xff"])
def test_one_that_does_not_say_that_it_is_able_is_not(said: bytes) -> None:
    group = Group("me", now=0)
    group.heard("you", b'{"able": true}', now=1)
    group.heard("you", said, now=2)
    assert not group.others(now=2)


def test_what_it_says_itself_is_no_other_hub() -> None:
    group = Group("me", now=0)
    group.heard("me", b'{"able": true}', now=1)
    assert not group.others(now=1)
    group.heard("you", b'{"able": true}', now=1)
    assert group.others(now=1)
    assert not group.others(now=1, without=("you",))
