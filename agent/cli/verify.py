"""`bellcrank verify`, for who builds a receiver."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agent.verify import Request

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)


@click.command()
@click.argument("request_file", metavar="[REQUEST]", default="-", type=_FILE)
@click.option("--secret-file", required=True, type=_FILE, help="A file with one or more secrets, such as secrets.yaml.")
@click.option("--headers", "headers_file", type=_FILE, help="With --body: the headers, one a line.")
@click.option("--body", "body_file", type=_FILE, help="With --headers: the body, byte for byte.")
@click.option("--any-age", is_flag=True, help="Do not ask how old it is.")
def verify(
    request_file: Path, secret_file: Path, headers_file: Path | None, body_file: Path | None, *, any_age: bool
) -> None:
    """Check whether one request is genuine, and tell what is wrong with it if not.

    REQUEST holds headers, an empty line and the body, byte for byte; - is standard input. Ends with 1 where the request
    is not genuine.
    """
    from agent.clock import SystemClock
    from agent.listen import plain
    from agent.verify import NoRequest, judge, secrets_in

    if (headers_file is None) != (body_file is None):
        raise click.UsageError("--headers and --body go together")
    try:
        secrets = secrets_in(_read(secret_file).decode(errors="replace"))
        request = _request(request_file, headers_file, body_file)
    except NoRequest as error:
        raise click.UsageError(plain(str(error))) from None
    verdict = judge(request, secrets, None if any_age else SystemClock().wall())
    click.echo(plain(verdict.words), err=not verdict.genuine)
    sys.exit(0 if verdict.genuine else 1)


def _request(whole: Path, headers: Path | None, body: Path | None) -> "Request":
    from agent.verify import Request, parse, parse_headers

    if headers is None or body is None:
        return parse(_read(whole))
    return Request(parse_headers(_read(headers)), _read(body))


def _read(path: Path) -> bytes:
    return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
