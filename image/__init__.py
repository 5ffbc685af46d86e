"""What carries modemhub to a machine: Debian package, SD image, bundled broker. Nothing of it runs in the hub."""
