"""The hub: policy. What is sent when and by which SIM, and what arrives; the only room that knows modems and messages.

::

    hub           the facade that the doors know and the host that the modems report to
    command       what a client asks for (pydantic: MQTT and HTTP speak the same JSON)
    reading       what a client wrote, read strictly
    destinations  recipients in one spelling; who may be texted
    contacts      names for numbers
    debts         what webhooks owe
    countries     mobile country code → region and calling code (data)
    outbound      one SIM's queue through whichever modem holds the SIM; the retry policy
    diagnosis     what is wrong in plain words, and what is done about it
    claim         how a hub that nobody owns gets its owner
    clients       who may ask by HTTP: tokens made, revoked, recognised
    figures       the hub in numbers
    signals       each modem's signal over the last day
    inbound       what arrives: committed raw, decoded from the row
    fleet         the modems that are run: of the settings, and found by themselves
    last_resort   the machine itself, when every modem is dead
    roster        which modems and SIMs there are
    settings      what a user may set about all this

Codes of :class:`~appliance.errors.Rejected`: ``invalid``, ``expired``, ``destination_not_allowed``, ``quota_exceeded``,
``idempotency_conflict``, ``not_encodable``, ``no_sim``, ``no_such_modem``, ``modem_failed``, ``not_possible``,
``repeated``, ``not_found``, ``not_cancellable``, ``forbidden``,
``already_claimed``, ``token_exists``. A full disk is :class:`~appliance.errors.StoreFull`.
"""

from appliance.hub.claim import Claim, claim_file, new_token
from appliance.hub.clients import Client
from appliance.hub.command import SendCommand
from appliance.hub.contacts import Contact, Contacts
from appliance.hub.debts import Debt, Debts
from appliance.hub.figures import Figures
from appliance.hub.hub import Event, Hub, Page, Sent
from appliance.hub.reading import read_json, read_model, read_query, validated

__all__ = [
    "Claim",
    "Client",
    "Contact",
    "Contacts",
    "Debt",
    "Debts",
    "Event",
    "Figures",
    "Hub",
    "Page",
    "SendCommand",
    "Sent",
    "claim_file",
    "new_token",
    "read_json",
    "read_model",
    "read_query",
    "validated",
]
