"""A real Home Assistant Core judges what the hub announces to it: its schemas, and a running one.

=================  ===================================================================================================
``build``          fetches a Python and a Core into ``.cache/homeassistant``; no root, half a minute, once
``schema_check``   every discovery payload against the schemas of that Core, without running it
``core``           that Core as a process: its configuration, its states and registries, its log
=================  ===================================================================================================

``make homeassistant`` builds it and runs ``hil/tests/test_homeassistant.py`` in the long form; ``make test`` the short
one. Nothing is downloaded while Core runs.
"""
