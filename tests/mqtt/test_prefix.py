"""The cursor moves over what was acknowledged without a gap, and over nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.mqtt.tail import Prefix


@given(st.lists(st.integers(1, 3), max_size=40), st.randoms(use_true_random=False), st.integers(0, 40))
def test_the_prefix_ends_before_the_first_that_is_not_acknowledged(steps: list[int], order: object, told: int) -> None:
    seqs = [sum(steps[: i + 1]) for i in range(len(steps))]
    prefix = Prefix(0)
    for seq in seqs:
        prefix.add(seq)
    shuffled = list(seqs)
    order.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    acknowledged = set(shuffled[:told])
    for seq in shuffled[:told]:
        prefix.acknowledge(seq)
    expected = 0
    for seq in seqs:
        if seq not in acknowledged:
            break
        expected = seq
    assert prefix.passed == expected
    assert prefix.open == len([seq for seq in seqs if seq > expected])
