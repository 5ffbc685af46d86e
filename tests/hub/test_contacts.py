"""Names for numbers: groups flattened, nonsense refused with words, and a text for a group is one for each number."""

import pytest

from appliance.errors import Rejected
from appliance.hub import Contact, Contacts, SendCommand
from tests.hub.conftest import Open

ANNA, BEN = "+447700900123", "+447700900456"


def test_a_group_holds_numbers_and_names_each_number_once() -> None:
    contacts = Contacts({"anna": ANNA, "family": ["anna", BEN, ANNA], "all": ["family", "anna"]})
    assert contacts.get("anna") == Contact("anna", (ANNA,), group=False)
    assert contacts.get("family") == Contact("family", (ANNA, BEN), group=True)
    assert contacts.get("all") == Contact("all", (ANNA, BEN), group=True)
    assert contacts.get("nobody") is None
    assert [contact.name for contact in contacts] == ["anna", "family", "all"]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"Anna": ANNA}, "all in lower case"),
        ({"4you": ANNA}, "a letter, then"),
        ({"a": ["b"], "b": ["a"]}, "a → b → a"),
        ({"a": []}, "empty group"),
        ({"a": ["anne"]}, '"anne" is neither'),
        ({"a": "soon"}, '"soon" is neither'),
    ],
)
def test_what_is_no_contact_is_said_in_words(named: dict[str, str | list[str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Contacts(named)


@pytest.mark.asyncio
async def test_a_contact_is_one_message_and_a_group_one_for_each_number(open_hub: Open) -> None:
    house = await open_hub()
    house.hub.contacts = Contacts({"anna": ANNA, "family": ["anna", BEN]})
    one = await house.hub.send(SendCommand(to="anna", text="hi"), client="c")
    assert one.single
    assert [(view["to"], view["to_given"]) for view in one.messages] == [(ANNA, "anna")]
    many = await house.hub.send(SendCommand(to=["family", ANNA], text="hi"), client="c")
    assert not many.single
    assert [view["to"] for view in many.messages] == [ANNA, BEN]
    assert house.hub.preview(SendCommand(to="family", text="hi"))["cost_segments"] == 2


@pytest.mark.asyncio
async def test_more_numbers_than_one_command_may_text_are_refused(open_hub: Open) -> None:
    house = await open_hub()
    house.hub.contacts = Contacts({"town": [f"+4477009{n:05}" for n in range(101)]})
    with pytest.raises(Rejected, match="101 numbers"):
        await house.hub.send(SendCommand(to="town", text="hi"), client="c")
