"""What the device does beside the hub, as root: ``modemhub-device VERB``. Installed in the SD image only.

Promise
    Whatever somebody writes into the settings file on the card's FAT partition, and wherever the power is cut: the
    device comes up with the last settings that were right, can be reached, and says on the card what is wrong. What
    fails here is told and left out; the rest goes on.

The rooms::

    __main__    the command line; what a verb does not need is not imported (a Pi Zero takes a second for pydantic)
    place       every path that is read or written here; another root for tests
    shape       PURE   the device's own settings as the rest reads them, with the defaults
    settings    PURE   what may stand in the file: models, and errors with line and nearest key
    text        PURE   octets → text → TOML, as forgiving as it is safe
    window      PURE   when updates begin by themselves
    plan        PURE   (settings, secrets, facts) → the files of /run
    gesture     PURE   when a jumper means a factory reset
    release     PURE   which bundle may be installed on what runs
    trial       the record of an update, and what it means at a boot
    rim         files written whole or not at all, commands
    fat         the FAT partition: writable for moments
    kept        settings and secrets on /data: old or new, never a mixture
    intake      the file on the card → kept
    broker      keys and accounts of Mosquitto
    tell        modemhub-error.txt: what is wrong, from everybody who has something to say
    system      what updates and their proof ask of the running system: slots, hub, RAUC, systemd
    download    bundles and their index over HTTPS
    updater     installs a bundle, wherever it comes from
    boot        the verb ``boot``: intake, keys, broker, plan, hostname
    claim       the verb ``claim``: CLAIM.txt on the card, and the firewall
    reset       the verbs ``reset``, ``wipe``, ``jumper``: back to the beginning
    status      the verb ``status``
    update      the verb ``update``
    prove       the verb ``prove``: commits the slot that runs, or leaves it

It imports nothing of the hub but ``appliance.settings``, to check the hub's part of the file.
"""
