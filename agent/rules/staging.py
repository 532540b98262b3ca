"""The staged changes of memory: what a step sees is what is installed and, over it, what it has changed itself.

`install` makes them the engine's; before that nothing of it has changed.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from agent.rules.compiled import Compiled
from agent.rules.memories import Memories
from agent.rules.memory import Key, Memory, Weight
from agent.rules.timers import Timers


class Change(NamedTuple):
    """One staged change of memory; None: the row goes."""

    key: Key
    memory: Memory | None
    weight: Weight
    at: float


class Staging:
    """Of one step."""

    __slots__ = ("_installed", "_kept", "_minding", "_rules", "_staged", "changes", "hard", "now", "timers")

    def __init__(self, rules: Mapping[str, Compiled], installed: Memories) -> None:
        self._rules, self._installed, self._kept = rules, installed, installed.kept
        self.now = installed.now
        """The time that the step has come to."""
        self.hard = False
        """Whether something changed that must be on disk before it is acknowledged."""
        self.changes: list[Change] = []
        """All that was staged, in order."""
        self._staged: dict[Key, Memory | None] = {}
        """What the changes come to."""
        self.timers = Timers(installed.timers)
        self._minding: dict[str, set[Key]] = {}
        """Those that this step staged; like the installed ones, but some may mind no longer."""

    def known(self, key: Key) -> Memory | None:
        """What is remembered; None: nothing."""
        return self._staged[key] if key in self._staged else self._kept.get(key)

    def recall(self, key: Key) -> Memory:
        """What is remembered, or a blank."""
        return self.known(key) or self._rules[key[0]].blank

    def due(self, key: Key) -> float | None:
        """When a memory changes by itself."""
        memory = self.known(key)
        return None if memory is None else self._rules[key[0]].due_at(memory)

    def keep(self, key: Key, memory: Memory, weight: Weight) -> None:
        """Remember this from now on."""
        before = self.known(key)
        rule = self._rules[key[0]]
        if memory.minds_source:
            for device in rule.devices(key):
                self._minding.setdefault(device, set()).add(key)
        self.changes.append(Change(key, memory, weight, self.now))
        self._staged[key] = memory
        self.hard = self.hard or weight is Weight.HARD
        due = rule.due_at(memory)
        if due is not None and (before is None or due != rule.due_at(before)):
            self.timers.add(due, key)

    def forget(self, key: Key) -> None:
        """Delete a row of memory."""
        self.changes.append(Change(key, None, Weight.HARD, self.now))
        self._staged[key] = None
        self.hard = True

    def bindings(self, rule: Compiled) -> Iterable[Key]:
        """Of a rule with placeholders: those that have, or had, a memory of their own."""
        staged = [key for key in self._staged if key[0] == rule.name and not rule.is_shared(key)]
        return dict.fromkeys([*self._installed.census.keys(rule.name), *staged])

    def minding(self, prefix: str) -> list[Key]:
        """The memories that mind whether a source or a device is open."""
        found: set[Key] = set()
        for minding in (self._installed.minding, self._minding):
            devices = [prefix]
            if "." not in prefix:
                devices += [device for device in minding if device.startswith(prefix + ".")]
            found.update(*(minding.get(device, ()) for device in devices))
        return [key for key in sorted(found) if self.recall(key).minds_source]

    def rollback(self, changes: int, now: float, *, hard: bool) -> None:
        """Undo all but so many of the changes, at the time when there were no more."""
        del self.changes[changes:]
        self.hard, self.now = hard, now
        self._staged = {change.key: change.memory for change in self.changes}
        dues = {key: self.due(key) for key in self._staged}
        self.timers.restart((due, key) for key, due in dues.items() if due is not None)

    def rows(self) -> dict[Key, str | None]:
        """What a commit writes: what was changed, and soft changes that wait. None: the row goes."""
        mine = dict.fromkeys(change.key for change in self.changes if change.weight is not Weight.NONE)
        memories = {key: self.known(key) for key in {**self._installed.unsaved, **mine}}
        return {key: None if memory is None or memory.is_nothing else memory.dump() for key, memory in memories.items()}

    def install(self, *, committed: bool) -> None:
        """Make them the engine's; with `committed` all of them are on disk."""
        installed = self._installed
        installed.now = self.now
        for key, memory in self._staged.items():
            installed.put(key, memory)
        if committed:
            installed.unsaved.clear()
            return
        for change in self.changes:
            if change.weight is Weight.SOFT:
                installed.unsaved.setdefault(change.key, change.at)
