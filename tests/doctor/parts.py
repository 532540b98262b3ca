"""What the tests of the doctor share: a configuration in a folder, and what is found with it."""

from collections.abc import Sequence
from pathlib import Path

from agent.clock import SystemClock
from agent.doctor import Finding, admit, examine

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"


def configure(folder: Path, text: str) -> Path:
    """Write a configuration that only its owner reads, with a state directory of its own."""
    file = folder / "bellcrank.yaml"
    file.touch(0o600)
    agent = f"agent: {{name: cabin, state_dir: {folder}/state}}"
    file.write_text(f"version: 1\n{agent}\n{text}", encoding="utf-8")
    return file


async def found(
    file: Path, *subjects: str, listen_s: float = 0.0, send_test: bool = False
) -> dict[str, tuple[str, str, str]]:
    """Name -> verdict, what was seen, what to do."""
    patient = admit(file, SystemClock(), listen_s=listen_s, send_test=send_test)
    return by_name(await examine(patient, subjects))


def by_name(findings: Sequence[Finding]) -> dict[str, tuple[str, str, str]]:
    return {finding.name: (finding.verdict.value, finding.seen, finding.advice) for finding in findings}
