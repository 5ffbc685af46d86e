"""Which topic means what."""

import pytest

from appliance.mqtt.topics import Request, Send, SendText, Topics

TOPICS = Topics("modemhub")


@pytest.mark.parametrize(
    ("topic", "meaning"),
    [
        ("modemhub/send", Send()),
        ("modemhub/send/447700900123", SendText("+447700900123")),
        ("modemhub/send/07700900123", SendText("07700900123")),
        ("modemhub/send/88444", SendText("88444")),
        ("modemhub/send/1234567", SendText("+1234567")),
        ("modemhub/send/123456789012345", SendText("+123456789012345")),
        ("modemhub/send/1234567890123456", SendText("1234567890123456")),
        ("modemhub/send/٤٤٧٧٠٠٩٠٠١٢٣", SendText("٤٤٧٧٠٠٩٠٠١٢٣")),
        ("modemhub/request/modem/restart", Request("modem/restart")),
        ("modemhub/request/", Request("")),
        ("modemhub/send/", None),
        ("modemhub/send/1/2", None),
        ("modemhub/status", None),
        ("modemhub", None),
        ("modemhubs/send", None),
        ("", None),
    ],
)
def test_a_topic_has_one_meaning(topic: str, meaning: object) -> None:
    assert TOPICS.meaning(topic) == meaning


def test_a_base_topic_may_have_levels() -> None:
    topics = Topics("home/cellar/sms")
    assert topics.meaning("home/cellar/sms/send") == Send()
    assert topics.commands == ("home/cellar/sms/send", "home/cellar/sms/send/+", "home/cellar/sms/request/#")


@pytest.mark.parametrize(
    ("topic", "may"),
    [
        ("answers/to/me", True),
        ("modemhub/response", True),
        ("modemhub/response/me", True),
        ("modemhub/send/447700900123", False),
        ("modemhub/status", False),
        ("modemhub/responses", False),
        ("modemhub", False),
        ("answers/+", False),
        ("$SYS/x", False),
        ("", False),
    ],
)
def test_an_answer_goes_nowhere_where_it_would_be_a_command_or_a_state(topic: str, may: bool) -> None:
    assert TOPICS.may_answer_on(topic) is may
