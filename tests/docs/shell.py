"""Shell blocks as commands: each program with its words, also behind `sudo`, `&&` and `|`."""

import argparse
import shlex
from collections.abc import Iterator, Sequence

import click

from agent.cli import main
from agent.install import command as installer
from tests.docs.pages import Block, Command, blocks

_BY_ARGPARSE = {"install", "uninstall"}
_APART = {"&&", "||", ";", "|"}
_REDIRECTIONS = {">", "<", ">>"}


def commands(*languages: str) -> list[Command]:
    """All of them in the shell blocks of all pages, in their order."""
    return [command for block in blocks(*languages) for command in commands_of(block)]


def commands_of(block: Block) -> Iterator[Command]:
    for line in block.text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*_split(line), ";"]:
            if word not in _APART:
                words.append(word)
            elif words:
                yield Command(block, tuple(_plain(words)))
                words = []


def _split(line: str) -> Sequence[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _plain(words: Sequence[str]) -> Sequence[str]:
    """Without `sudo` and without what is redirected."""
    words = words[1:] if words[0] == "sudo" else words
    at = next((i for i, word in enumerate(words) if word in _REDIRECTIONS), len(words))
    return words[:at]


def leaves(group: click.Group = main, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """Each command that does something, by its words."""
    found: dict[tuple[str, ...], click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        here, command = (*path, name), group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= leaves(command, here)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[here] = command
    return found


def options(path: tuple[str, ...]) -> set[str]:
    """The long ones that a command has, but `--help`."""
    if path[0] in _BY_ARGPARSE:
        names = {name for action in _argparse(path[0])._actions for name in action.option_strings}
    else:
        names = {name for param in leaves()[path].params for name in param.opts}
    return {name for name in names if name.startswith("--")} - {"--help"}


def parse(path: tuple[str, ...], words: Sequence[str]) -> None:
    """Read the words behind a command as it would. Raises what it would raise."""
    if path[0] in _BY_ARGPARSE:
        _argparse(path[0]).parse_args(words)
        return
    with leaves()[path].make_context(path[-1], list(words)):
        pass


def _argparse(command: str) -> argparse.ArgumentParser:
    (commands,) = [action for action in installer._parser()._actions if isinstance(action, argparse._SubParsersAction)]
    found: argparse.ArgumentParser = commands.choices[command]
    return found


def leaf(words: Sequence[str]) -> tuple[str, ...]:
    """Which command these words after `bellcrank` call: the longest that they begin with."""
    found = [path for path in leaves() if tuple(words[: len(path)]) == path]
    assert found, f"there is no command: bellcrank {' '.join(words)}"
    return max(found, key=len)
