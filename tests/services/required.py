"""Services that a test may find or not."""

import os
from typing import NoReturn

import pytest


def demand(service: str, reason: str) -> NoReturn:
    """Skip, or fail where UNECHO_REQUIRE says that the service must be there.

    Args:
        service: "s3", "kubernetes" or "containers".
        reason: one line that says how to provide it.
    """
    if service in os.environ.get("UNECHO_REQUIRE", "").replace(",", " ").split():
        pytest.fail(reason)
    pytest.skip(reason)
