"""Rules: pure decisions over readings. Nothing here does I/O, and time, chance and ids are passed in.

`config` is what a rule is in the file, `conditions` judge one value, `machine` is the state machine as a
table, `memory` what is kept of it, and `engine` brings readings to the rules and tells what came of it.
"""

from agent.rules.config import Rule
from agent.rules.engine import Engine, Step
from agent.rules.memory import Key, Memory, State

__all__ = ["Engine", "Key", "Memory", "Rule", "State", "Step"]
