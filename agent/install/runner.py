"""Runs steps, or prints them. The only one here that changes anything."""

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Iterable, Iterator

from agent.install import facts
from agent.install.plan import Plan
from agent.install.steps import Step
from agent.service import Service

_LINES = 20
_NOT_FOR_CHILDREN = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "BELLCRANK_CONFIG")


class StepFailed(Exception):
    """The message says which, and what its command said."""


def show(steps: Iterable[Step], first: int = 1) -> int:
    """Print them with their commands. Returns the number of the next one."""
    number = first
    for number, step in enumerate(steps, first):
        say(f"{number:3} {step.says}\n      {shlex.join(step.command)}")
    return number + 1


def show_plan(plan: Plan) -> None:
    """Print all that would be done."""
    say(f"{plan.says}. Nothing is changed now; this would be done:\n")
    after = show(plan.switch, show(plan.prepare))
    show(plan.tidy, after)
    if plan.back:
        say("\nIf what was started does not become ready:\n")
        show(plan.back)


def carry_out(plan: Plan) -> bool:
    """Do it, or take it back. Returns whether it is done."""
    with _not_cut_short():
        try:
            run(plan.prepare)
        except StepFailed as failed:
            say(f"\n{failed}\nNothing that runs has changed.")
            run_all(plan.abandon)
            return False
        try:
            run(plan.switch)
        except StepFailed as failed:
            say(f"\n{failed}\n{_last_lines(plan.watched)}")
            _take_back(plan)
            return False
        run_all(plan.tidy)
    say(f"\nDone: {plan.says}.")
    return True


def _take_back(plan: Plan) -> None:
    if not plan.back:
        return
    say("\nGoing back:")
    is_back = run_all(plan.back)
    say(f"\n{plan.back_says}." if is_back else "\nGoing back failed too: see above, and `journalctl -u bellcrank`.")


def run(steps: Iterable[Step]) -> None:
    """One after another. Raises StepFailed."""
    for step in steps:
        say(f"- {step.says}")
        _run(step)


def run_all(steps: Iterable[Step]) -> bool:
    """All of them, whatever becomes of one. Returns whether all went well."""
    good = True
    for step in steps:
        try:
            run([step])
        except StepFailed as failed:
            say(str(failed))
            good = False
    return good


def say(text: str) -> None:
    """Print; a terminal that is gone does not matter."""
    with contextlib.suppress(OSError):
        print(text, flush=True)  # noqa: T201


def _run(step: Step) -> None:
    env = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN}
    if step.like is not None:
        env |= facts.environment_of(step.like.unit)
    try:
        done = subprocess.run(  # noqa: S603
            step.command, env=env, cwd="/", umask=0o022, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError as error:
        raise StepFailed(f"FAILED: {step.says}: {step.command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        last = "\n".join(f"    {line}" for line in said[-_LINES:])
        raise StepFailed(f"FAILED: {step.says}\n    {shlex.join(step.command)}\n{last}")


def _last_lines(services: Iterable[Service]) -> str:
    """What the journal has of them."""
    found = []
    for service in services:
        command = ("journalctl", "--unit", service.unit, "--lines", str(_LINES), "--no-pager", "--output", "cat")
        with contextlib.suppress(OSError):
            said = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
            found.append(
                f"\nThe last lines of {service.unit}:\n" + "".join(f"    {line}\n" for line in said.stdout.splitlines())
            )
    return "".join(found).rstrip()


@contextlib.contextmanager
def _not_cut_short() -> Iterator[None]:
    """A connection that is lost, or Ctrl-C, must not leave agents stopped: what was begun is ended."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGTERM)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
