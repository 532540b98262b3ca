"""A prefix and the agent's own paths: none may be taken for the other."""

from datetime import UTC
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.config import StatusConfig
from agent.outbox import Archive
from agent.status import api, health, metrics, page
from agent.status.login import Login
from tests.status.test_control import Recorder
from tests.status.test_server import snapshot
from tests.support.eyes import Fixed
from tests.support.hands import HandClock


def own_paths() -> list[str]:
    eyes, archive, clock = Fixed(snapshot), Archive(Path("/none")), HandClock()
    routes = [
        *health.routes(bool, bool),
        *metrics.routes(eyes),
        *page.routes(eyes, Recorder(), archive, dict, clock, lambda: UTC),
        *api.served(api.routes(eyes, Recorder(), archive, dict, clock.now)),
        *Login("", 1, clock.now).routes(),
    ]
    return sorted({route.path.split("/")[1] for route in routes} - {""})


@pytest.mark.parametrize("first", own_paths())
def test_a_prefix_that_begins_as_a_path_of_the_agent_is_refused(first: str) -> None:
    for prefix in (f"/{first}", f"/{first}/x"):
        with pytest.raises(ValidationError, match=f"/{first} is a path of the page itself"):
            StatusConfig(prefix=prefix)
    assert StatusConfig(prefix=f"/x/{first}").root == f"/x/{first}"
