"""Which memories are in which state, by rule: kept with each change, so that nobody has to look through all of them."""

from collections.abc import Collection, Iterator

from agent.rules.memory import Key, State


class Census:
    """Of one engine."""

    def __init__(self) -> None:
        self._subjects: dict[str, dict[State, dict[str, None]]] = {}

    def move(self, key: Key, before: State | None, after: State | None) -> None:
        """A memory came (before None), went (after None), or is in another state."""
        if before is after:
            return
        rule, subject = key
        states = self._subjects.setdefault(rule, {state: {} for state in State})
        if before is not None:
            states[before].pop(subject, None)
        if after is not None:
            states[after][subject] = None

    def knows(self, rule: str) -> bool:
        """Whether a rule has ever had a memory."""
        return rule in self._subjects

    def subjects(self, rule: str, state: State) -> Collection[str]:
        """Those of a rule that are in a state: who has been in it longest comes first."""
        states = self._subjects.get(rule)
        return () if states is None else states[state].keys()

    def keys(self, rule: str) -> Iterator[Key]:
        """Of all memories of a rule, but for what its bindings share."""
        return ((rule, subject) for subjects in self._subjects.get(rule, {}).values() for subject in subjects)

    def counts(self, rule: str) -> dict[State, int]:
        """How many are in each state."""
        return {state: len(self.subjects(rule, state)) for state in State}
