"""`bellcrank install` and `bellcrank uninstall`: their words are read by `agent.install.command`."""

import sys
from typing import NoReturn

import click

_PASSED_ON = {"ignore_unknown_options": True, "help_option_names": []}
_words = click.argument("words", nargs=-1, type=click.UNPROCESSED)


@click.command(context_settings=_PASSED_ON)
@_words
def install(words: tuple[str, ...]) -> NoReturn:
    """Install bellcrank as a service of systemd. Again: update it, and go back where the new one does not run."""
    _main("install", words)


@click.command(context_settings=_PASSED_ON)
@_words
def uninstall(words: tuple[str, ...]) -> NoReturn:
    """Remove the service. Its data and configuration stay."""
    _main("uninstall", words)


def _main(command: str, words: tuple[str, ...]) -> NoReturn:
    from agent.install.command import main

    sys.exit(main([command, *words]))
