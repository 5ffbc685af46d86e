"""Home Assistant: the hub and its modems as devices, by MQTT discovery; openHAB reads the same.

::

    discovery   PURE: which devices and entities there are, as JSON
    retained    PURE: what to publish so that the broker retains exactly these devices of ours
    telling     PURE: an event of the hub as an event entity's payload
    presence    PURE: whether Home Assistant is there, and how far it has surely been told
    teller      the above on a link: announces, tells, tells again

Promises:

* Every device and entity has an id that stays the same for ever and that no other hub uses; entity ids are left to
  Home Assistant. Nothing in a payload of ours makes it warn.
* What Home Assistant was told exists, and does not any more, is taken back: a contact that was removed, a modem that
  was forgotten (``request/modem/forget``), everything when discovery is switched off or the base topic is another one.
  A modem that is merely unplugged stays, as unavailable. Devices of other hubs are never touched.
* A text that comes while Home Assistant is away is told on its return, in order, with its original times and
  ``"replayed": true``. What may be told twice is told with the same ``id``.

What it does not do: an entity that was taken back while Home Assistant was away stays in its registry as "no longer
provided", to be deleted there by hand: it can only be told by somebody who is there to be told. Discovery under
another prefix than the one set is not looked for: switch discovery off under the old one first. There is no switch
entity, as nothing in the hub can be switched while it runs; an ``update`` entity has its place on the hub's device as
``update`` as soon as a hub can update itself.

Topics, beside those of SPEC §5: ``<base>/health`` (retained), ``<base>/modem/<imei>/event``, ``…/call`` (event
entities), ``…/last_received`` (not retained: the text would stay at the broker for everybody to read).
"""

from appliance.mqtt.homeassistant.teller import HomeAssistant

__all__ = ["HomeAssistant"]
