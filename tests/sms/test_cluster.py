"""UAX #29: where clusters end, by the standard's own kinds of example."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from appliance.sms.cluster import boundaries
from tests.sms.strategies import CLUSTERS, any_text

LAW = settings.get_profile("sms")


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_cluster_is_one(cluster: str) -> None:
    assert boundaries(cluster) == [0, len(cluster)]
    assert boundaries(f"a{cluster}b") == [0, 1, 1 + len(cluster), 2 + len(cluster)]


@pytest.mark.parametrize(
    "clusters",
    [
        ["a", "b"],
        ["\r", "a"],
        ["\n", "\r"],
        ["\r\n", "\u0301"],
        ["a\u0308", "b"],
        ["🇬🇧", "🇺🇳", "🇦"],
        ["👩", "👧"],
        ["a\u200d", "👧"],
        ["👩\u200d"],
        ["👍🏽", "👍🏿"],
        ["क\u094dत", "क"],
        ["क\u200d", "त"],
        ["\u1100\u1100\u1161\u11a8", "\u1100"],
        ["각\u11a8", "\u1161"],
        ["\u0600\u0661", "\u0662"],
        ["a\u0903", "b"],
        ["☕️", "☕"],
        ["\u200b", "a"],
    ],
)
def test_clusters_of_a_text(clusters: list[str]) -> None:
    ends = [0]
    for cluster in clusters:
        ends.append(ends[-1] + len(cluster))
    assert boundaries("".join(clusters)) == ends


@LAW
@given(any_text())
def test_boundaries_rise_from_nought_to_the_end(text: str) -> None:
    found = boundaries(text)
    assert found[0] == 0
    assert found[-1] == len(text)
    assert found == sorted(set(found))
