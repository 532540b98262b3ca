"""The configuration, its secrets, the state directory, and whether an agent runs."""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agent.doctor.aside import aside
from agent.doctor.finding import Finding, Verdict
from agent.doctor.patient import Patient
from agent.doctor.processes import Account, Process, lock_holder, process_name
from agent.status.words import age

SUBJECT = "configuration"
_PROBLEMS_MAX = 20
_finding = partial(Finding, SUBJECT)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found."""

    file: Path | None
    summary: str | None
    """Of a good one."""
    problems: tuple[str, ...]
    files: dict[Path, os.stat_result]
    """The configuration and its secrets."""
    state_dir: Path
    state: os.stat_result | None
    """None: it is not there."""
    account: Account
    """Whom the agent runs as, or would."""
    running: str | None
    """What the running agent says of itself."""
    kept_out: str | None
    holder: Process | None
    """Who has the outbox locked."""


async def examine(patient: Patient) -> list[Finding]:
    """The configuration."""
    return judge(await aside(partial(_measure, patient)))


def _measure(patient: Patient) -> Facts:
    files = [] if patient.file is None else [patient.file, patient.file.with_name("secrets.yaml")]
    pid = lock_holder(patient.state_dir / "outbox.lock")
    return Facts(
        file=patient.file,
        summary=patient.config.summary() if patient.config else None,
        problems=patient.problems,
        files={file: status for file in files if (status := _stat(file))},
        state_dir=patient.state_dir,
        state=_stat(patient.state_dir),
        account=patient.account,
        running=_running(patient.agent.agent) if patient.agent else None,
        kept_out=patient.kept_out,
        holder=Process(pid, process_name(pid)) if pid else None,
    )


def _running(agent: Mapping[str, Any]) -> str:
    return f"{agent['name']}, bellcrank {agent['version']}, up {age(agent['uptime_s'])}"


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def judge(it: Facts) -> list[Finding]:
    """All that is told of the configuration."""
    return [*_file(it), *_modes(it), _state(it), _agent(it)]


def _file(it: Facts) -> Iterable[Finding]:
    if it.summary is not None:
        yield _finding("file", Verdict.OK, f"{it.file}: {it.summary}")
    advice = "" if it.file is None else "README and config/bellcrank.yaml show every word"
    for problem in it.problems[:_PROBLEMS_MAX]:
        is_kept_out = "Permission denied" in problem
        yield _finding("file", Verdict.BAD, problem, "ask as root: sudo bellcrank doctor" if is_kept_out else advice)
        advice = ""
    if len(it.problems) > _PROBLEMS_MAX:
        yield _finding("file", Verdict.BAD, f"and {len(it.problems) - _PROBLEMS_MAX} more", "bellcrank config check")


def _modes(it: Facts) -> Iterable[Finding]:
    """Secrets that others may read are an error of the configuration itself."""
    for path, status in it.files.items():
        seen = f"{path} is {stat.filemode(status.st_mode)}"
        if not it.account.may(status, os.R_OK):
            advice = f"sudo chgrp bellcrank {path} && sudo chmod 640 {path}"
            yield _finding("mode", Verdict.BAD, f"{seen}: {it.account.name} may not read it", advice)
        elif status.st_mode & stat.S_IWOTH:
            yield _finding("mode", Verdict.WARN, f"{seen}: everybody may change it", f"chmod o-rwx {path}")
        else:
            yield _finding("mode", Verdict.OK, seen)


def _state(it: Facts) -> Finding:
    if it.state is None:
        return _finding("state", Verdict.OK, f"{it.state_dir} is not there: the first start makes it")
    seen = f"{it.state_dir} is {stat.filemode(it.state.st_mode)}"
    if not stat.S_ISDIR(it.state.st_mode):
        return _finding("state", Verdict.BAD, f"{it.state_dir} is no directory", "move it away")
    if not it.account.may(it.state, os.R_OK | os.W_OK | os.X_OK):
        advice = f"sudo chown -R {it.account.name}: {it.state_dir}"
        return _finding("state", Verdict.BAD, f"{seen}: {it.account.name} may not write there", advice)
    if it.state.st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IXOTH):
        advice = f"chmod 700 {it.state_dir}: events are nobody else's matter"
        return _finding("state", Verdict.WARN, f"{seen}: others may look into it", advice)
    return _finding("state", Verdict.OK, seen)


def _agent(it: Facts) -> Finding:
    if it.running is not None:
        return _finding("agent", Verdict.OK, f"it runs: {it.running}")
    if it.kept_out is not None:
        return _finding("agent", Verdict.WARN, it.kept_out, "sudo bellcrank doctor")
    if it.holder is not None:
        advice = f"is it starting or stopping, or stuck? `kill {it.holder.pid}` ends it"
        return _finding("agent", Verdict.BAD, f"{it.holder} has the outbox, but answers nobody", advice)
    return _finding("agent", Verdict.OK, "none runs")
