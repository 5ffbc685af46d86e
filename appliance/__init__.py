"""modemhub: text messages between GSM/LTE modems and MQTT, HTTP and Home Assistant, without losing one.

The map, one line per room::

    __main__     the composition root: arguments → settings → build every room → supervise
    supervisor   vital tasks, tended tasks, shutdown order, systemd's READY and WATCHDOG
    owner        what the owner of this machine may do: make tokens, speak to its own hub
    settings     the settings, assembled from the models that the rooms declare
    errors       the exception tree
    types        the shared words
    sms/         PURE 3GPP 23.040 and 23.038: TPDUs, alphabets, segmentation, assembly
    at/          PURE 3GPP 27.005, 27.007 and V.250: the dialogue with a modem
    modem/       I/O with one physical modem; moves opaque PDUs
    store/       the journal: SQLite, one writer, one verb is one transaction
    hub/         POLICY: what is sent when and by which SIM; what arrives and what it means
    mqtt/ http/  the doors; they know only the hub
    webhooks/    the door that knocks: events told by HTTP; knows only the hub
    shell/       the hub from outside: a client of the HTTP door, and the commands that people's scripts use

The import rule (tests/test_architecture.py holds it)::

                          __main__
            ┌───────────────┼──────────────┬─────────────┬───────────┐
            │               │              │             ├───────  owner (with http, hub, store, shell)
          mqtt            http         webhooks       settings      shell
            └───────┬───────┴──────────────┘
                   hub
         ┌──────────┼─────────┬───────────┐
       modem      store      sms      supervisor
         │
         at
    ───────────────────────────────────────────── errors, types

From any line it is plain what it may touch: an arrow that is not drawn does not exist.
"""

__version__ = "0.1.0"
