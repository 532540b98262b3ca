"""What a check comes to."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it stands."""

    OK = "ok"
    WARN = "warn"
    """It works, but something may be lost, or will not work for ever."""
    BAD = "bad"
    """It does not work."""
    SKIPPED = "skipped"
    """It was not looked at; what was seen says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    subject: str
    """broker, serial, ..."""
    name: str
    """What was looked at, such as `house: certificate`."""
    verdict: Verdict
    seen: str
    """A sentence with figures and units. It may hold what brokers and receivers said: escape it where it is shown."""
    advice: str = ""
    """What to do; empty: nothing."""


def exit_code(findings: list[Finding], *, bad_config: bool) -> int:
    """78 for a bad configuration, 1 where something does not work, else 0."""
    if bad_config:
        return 78
    return int(any(finding.verdict is Verdict.BAD for finding in findings))


def counted(findings: list[Finding]) -> dict[str, int]:
    """How many there are of each verdict."""
    return {verdict.value: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
