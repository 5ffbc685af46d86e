"""PURE 3GPP 27.005, 27.007 and ITU-T V.250: the dialogue with a modem, without a modem.

``dialogue``
    Bytes out, bytes in, events: which line answers which command.
``answers``
    What the lines say: result codes and their meaning, storages, registration, signal, identities.
``envelope``
    The hex line around a TPDU: service centre address and length.

No asyncio, clock, logging or I/O is imported here. Nothing that was read from a modem is ever put into a command.
"""
