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
pulses       which single readings are told
downtime     what a memory from the disk is after a start
census       which memories are in which state
telling      builds the events

What an engine has:

book         the rules of one configuration, and the routes from a sensor to them
memories     all memories that are installed, with their timers
attendance   who is there: what was said last, signs of life, how sources stand
engine       the three together, and the steps that change them

A step, and what it is made of; a reading goes through it from the top to the bottom:

step         one staged transaction: readings, timers, sources that come and go
judging      what a reading or the time makes of a memory
alerts       what begins or ends by it, and is told
staging      the changes of memory, until they are installed or let go of
timers       the next of those that are installed and those that are staged
"""

from agent.rules.book import SOURCE_GRACE_S, Book, Site
from agent.rules.config import Rule
from agent.rules.engine import Engine
from agent.rules.memory import Key, Memory, State
from agent.rules.staging import Change
from agent.rules.step import Step
from agent.rules.telling import SOURCES

__all__ = ["SOURCES", "SOURCE_GRACE_S", "Book", "Change", "Engine", "Key", "Memory", "Rule", "Site", "State", "Step"]
