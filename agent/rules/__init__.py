"""Rules: pure decisions over readings. Nothing here does I/O, and time, chance and ids are passed in.

config       what a rule is in the file
conditions   judge one value; `patterns`: regular expressions that cannot hang
operands     conditions that take time or windows, and what several of them come to
schedule     the hours of a rule
machine      the state machine as a table
memory       what is kept of it
compiled     a rule made ready: which memory a sensor is part of, and when something is due
directory    which rules may be about a sensor
outlook      what can be seen of a rule: its thresholds, and where time takes a memory
census       which memories are in which state
telling      builds the events
step         one staged transaction: readings, timers, sources that come and go
engine       all of it together
"""

from agent.rules.book import SOURCE_GRACE_S, Site
from agent.rules.config import Rule
from agent.rules.engine import Engine
from agent.rules.memory import Key, Memory, State
from agent.rules.staging import Change
from agent.rules.step import Step
from agent.rules.telling import SOURCES

__all__ = ["SOURCES", "SOURCE_GRACE_S", "Change", "Engine", "Key", "Memory", "Rule", "Site", "State", "Step"]
