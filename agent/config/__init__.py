"""The configuration: a YAML file into typed, checked values, and every error with its line and column, all at once.

`reading` puts the others together: `yamlfile` reads, `model` (with `outbox` and `status`) types, `references` checks
one part against another, and `sentences`, with `hints`, and `problems` make of it what people are told.
"""

from agent.config.model import AgentConfig, Config, FeedSettings, HeartbeatConfig, file_model
from agent.config.outbox import OutboxConfig
from agent.config.places import default_state_dir, find, home, state_dir
from agent.config.problems import ConfigErrors, Problem
from agent.config.reading import Checked, load, read
from agent.config.status import StatusConfig
from agent.config.values import Where

__all__ = [
    "AgentConfig",
    "Checked",
    "Config",
    "ConfigErrors",
    "FeedSettings",
    "HeartbeatConfig",
    "OutboxConfig",
    "Problem",
    "StatusConfig",
    "Where",
    "default_state_dir",
    "file_model",
    "find",
    "home",
    "load",
    "read",
    "state_dir",
]
