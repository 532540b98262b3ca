"""The words of `bellcrank install` and `uninstall`, read by the standard library: scripts/install has no other."""

import argparse
from pathlib import Path

from agent.install import facts, plan, refusals, removal, runner, source
from agent.install.runner import say
from agent.install.wish import Facts, Wish
from agent.service import Service

_LATER = """\
Next:
  sudoedit {config}      what to listen to, and whom to tell
  bellcrank config check --config {config}
  sudo systemctl reload {unit}
  journalctl -u {unit} -f
Who is in the group bellcrank may use `bellcrank status` and the like: sudo adduser $USER bellcrank"""
_BACK = """\
An outbox that the version before cannot read is replaced by its copy of before the update: what sensors said since
then is not in it, and what was sent since then goes out again. Go back? [y/N] """
_PURGE = "This removes {what}, with all that is still owed. Nothing brings it back. Remove? [y/N] "


def main(words: list[str]) -> int:
    """Do what they say. Returns the exit code: 0 done, 1 not done, 2 usage."""
    asked = _parser().parse_args(words)
    try:
        service = Service.named(asked.instance) if asked.instance else None
    except ValueError as error:
        say(f"--instance: {error}")
        return 2
    found = facts.gather()
    if asked.command == "uninstall":
        return _uninstall(asked, found, service)
    return _back(asked, found) if asked.back else _install(asked, found, service)


def _install(asked: argparse.Namespace, found: Facts, service: Service | None) -> int:
    try:
        wanted = source.find(asked.wheel, asked.wheels)
    except source.NoSource as none:
        say(str(none))
        return 2
    wish = Wish(wanted, service, asked.wheels, asked.within)
    made = plan.install(found, wish)
    if not _carried_out(asked, made, refusals.of_install(found, wish)):
        return 1
    new = plan.added(found, wish)
    if new and not asked.dry_run:
        say("\n" + _LATER.format(config=new[0].config, unit=new[0].unit))
    return 0


def _back(asked: argparse.Namespace, found: Facts) -> int:
    made = plan.back(found, asked.within)
    if made is None:
        say("There is no release before the one that runs.")
        return 1
    if not (asked.dry_run or asked.yes or _confirmed(_BACK)):
        return 1
    return 0 if _carried_out(asked, made, refusals.of_uninstall(found, None)) else 1


def _carried_out(asked: argparse.Namespace, made: plan.Plan, against: list[str]) -> bool:
    if asked.dry_run:
        runner.show_plan(made)
    if against:
        say("\nThis cannot be done here:" if asked.dry_run else "This cannot be done here:")
        for sentence in against:
            say(f"- {sentence}")
        return asked.dry_run is True
    return asked.dry_run or runner.carry_out(made)


def _uninstall(asked: argparse.Namespace, found: Facts, service: Service | None) -> int:
    steps = removal.uninstall(found, service, purge=asked.purge)
    against = refusals.of_uninstall(found, service)
    if asked.dry_run:
        runner.show(steps)
    for sentence in against:
        say(f"- {sentence}")
    if asked.dry_run or against:
        return 0 if asked.dry_run else 1
    kept = removal.kept(found) if service is None else [str(service.config), str(service.state)]
    if asked.purge and not (asked.yes or _confirmed(_PURGE.format(what=", ".join(kept)))):
        say("Nothing was removed.")
        return 1
    if not runner.run_all(steps):
        return 1
    say("Done." if asked.purge else f"Done. These stay, and `--purge` removes them: {', '.join(kept)}")
    return 0


def _confirmed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("bellcrank", description="Install bellcrank as a service, or remove it.")
    commands = parser.add_subparsers(dest="command", required=True)
    about = "Install bellcrank as a service of systemd. Again: update it, and go back where the new one does not run."
    one = commands.add_parser("install", help=about, description=about)
    one.add_argument("wheel", nargs="?", type=Path, help="the version to install; default: this one")
    one.add_argument(
        "--wheels", metavar="DIR", type=Path, help="take all packages from this folder, none from the network"
    )
    one.add_argument("--within", metavar="S", type=int, default=60, help="seconds to become ready in; default: 60")
    one.add_argument("--back", action="store_true", help="go back to the release before")
    about = "Remove the service. Its data and configuration stay."
    two = commands.add_parser("uninstall", help=about, description=about)
    two.add_argument("--purge", action="store_true", help="remove data and configuration too, after a question")
    for each in (one, two):
        each.add_argument("--instance", metavar="NAME", help="one of several agents, bellcrank@NAME.service")
        each.add_argument("--dry-run", action="store_true", help="print each step and its command; change nothing")
        each.add_argument("--yes", action="store_true", help="ask nothing")
    return parser
