"""The journal: what was promised, kept in one SQLite file, and the order in which everybody is told.

The store is the bus: a verb changes rows and appends event rows in one transaction; doors tail the event table with a
cursor each. Nothing else carries news through the house.

==============  =====================================================================================================
``clock``       hub time: a line of milliseconds that never jumps, persisted with every commit
``file``        opening: lock, pragmas, numbered schema files, check, quarantine of a corrupt file
``ballast``     a file of reserve that is given up when the disk is full, so that what arrives can still be kept
``journal``     the one writer thread (group commit), the readers, waiting for new events; the command line's visit
``states``      the state of a message out of the states of its segments, as a table
``outbound``    accept, assign, claim, payload_next, submitted, put_back, fail, doubt, recover, cancel, expire, views
``reports``     status reports: finding the segment that they speak of (promise D1)
``evidence``    what a report proves, and the reports that wait for their segment
``inbound``     PDUs as they came, received messages and parts of them (promises R1, R2, R3)
``events``      the event table and the doors' cursors
``webhooks``    events that webhooks could not be told yet
``tokens``      bearer tokens, as digests
``claim``       the token that makes somebody the owner of a hub that has none
``identity``    the hub's id; the verb that proves life
``settings``    what a user may set
``sims``        SIMs ever seen; PINs ever tried (promise M2)
``troubles``    what is remembered of modems' troubles
``retention``   forgetting in small bites
==============  =====================================================================================================

A **verb** is a plain function whose first argument is a ``journal.Transaction``: one verb, one transaction; its name is
the name of its commit point. A **query** is a plain function whose first argument is a read-only connection.
The room knows no modem, and no meaning of a PDU: TPDUs are octets here.
"""

from __future__ import annotations

from appliance.store.clock import HubClock
from appliance.store.journal import Journal, Room, Transaction, Visit, visit

__all__ = ["HubClock", "Journal", "Room", "Transaction", "Visit", "visit"]
