"""What schemathesis is told beside the description: not to revoke the token that it lives on."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """It reads the tokens' names from the API, and would try each of them."""
    del context, kwargs
    if case.operation.path == "/api/v1/tokens/{name}" and case.path_parameters.get("name") == "rig":
        case.path_parameters["name"] = "nobody"
