"""What of a changed configuration applies while the agent runs."""

from typing import NamedTuple

from agent.config import Config


class Applied(NamedTuple):
    """A configuration to run with, and the keys of the file that wait for a restart."""

    config: Config
    needs_restart: tuple[str, ...]


def applied(running: Config, wanted: Config) -> Applied:
    """All of it but the name (broker and receivers know the agent by it), the state, and where the page is."""
    page, was = wanted.status, running.status
    waiting = {
        "agent.name": wanted.agent.name != running.agent.name,
        "agent.state_dir": wanted.agent.state_dir != running.agent.state_dir,
        "status.listen": page.listen != was.listen,
        "status.prefix": page.prefix != was.prefix,
        "status.tls": (page.tls is None) != (was.tls is None),  # another certificate applies
    }
    moves = waiting["status.listen"] or waiting["status.tls"]
    agent = {"name": running.agent.name, "state_dir": running.agent.state_dir}
    parts = {
        "agent": wanted.agent.model_copy(update=agent),
        # A token goes with its address: off loopback there must be one, and it should not travel without TLS.
        "status": was if moves else page.model_copy(update={"prefix": was.prefix}),
    }
    return Applied(wanted.model_copy(update=parts), tuple(key for key, waits in waiting.items() if waits))
