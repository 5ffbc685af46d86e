"""What a user may set about the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["StoreSettings"]


class StoreSettings(BaseModel):
    """Where messages are kept, and for how long."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    path: Path = Path("/var/lib/modemhub/modemhub.db")
    retention_days: Annotated[float, Field(gt=0)] = 30.0
    """Days after which finished messages and received ones are forgotten."""
