"""Which rules may be about a sensor, by the parts of its name that their patterns spell out.

So a sensor that is heard for the first time is not compared with every rule there is.
"""

from collections.abc import Iterable, Sequence

from agent.rules.compiled import Compiled, Parts
from agent.rules.config import placeholders


class Directory:
    """Of the rules of one engine."""

    def __init__(self, rules: Iterable[Compiled]) -> None:
        self._rules = list(rules)
        self._exact: dict[Parts, list[int]] = {}
        """Places of the rules that name a sensor in full."""
        self._within: dict[tuple[str, int], list[int]] = {}
        """Of those with stars or placeholders, by their source, which is always spelled out, and their length."""
        for place, rule in enumerate(self._rules):
            for pattern in set(rule.patterns):
                self._add(pattern, place)

    def candidates(self, sensor: str) -> Sequence[Compiled]:
        """Each rule with a pattern that may name the sensor, in the order of the configuration."""
        parts = tuple(sensor.split("."))
        places = {*self._exact.get(parts, ()), *self._within.get((parts[0], len(parts)), ())}
        return [self._rules[place] for place in sorted(places)]

    def _add(self, pattern: Parts, place: int) -> None:
        if any(part == "*" or placeholders(part) for part in pattern):
            self._within.setdefault((pattern[0], len(pattern)), []).append(place)
        else:
            self._exact.setdefault(pattern, []).append(place)
