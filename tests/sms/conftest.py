"""The budget of the property tests here: the same examples on every machine, and no clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("sms", derandomize=True, max_examples=300, deadline=None, database=None)
