"""Certificates, made by the `openssl` command."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.agent import free_port, wait_for_port


class Pair(NamedTuple):
    """A certificate and its key."""

    cert: Path
    key: Path


_CA = """\
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
"""


class Authority:
    """A CA of its own in a folder; it issues what is asked for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.own = Pair(folder / "ca.pem", folder / "ca.key")
        (folder / "ca.conf").write_text(_CA.format(folder=folder))
        (folder / "index").touch()
        _openssl("req", "-x509", "-days", "3650", *_key(self.own), "-subj", f"/CN={folder.name}", "-out", self.own.cert)

    def issue(self, name: str, names: str = "DNS:localhost,IP:127.0.0.1", until: int = 2049, since: int = 2020) -> Pair:
        """A certificate for hosts, as subjectAltName writes them, from the begin of a year to the end of one."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        _openssl("req", "-new", *_key(pair), "-subj", f"/CN={name}", "-out", request)
        by = ("-config", self._folder / "ca.conf", "-cert", self.own.cert, "-keyfile", self.own.key)
        dates = ("-startdate", f"{since}0101000000Z", "-enddate", f"{until}1231235959Z")
        _openssl("ca", "-batch", "-notext", *by, *dates, "-extfile", extensions, "-in", request, "-out", pair.cert)
        return pair


@contextmanager
def tls_server(pair: Pair, *options: str | Path) -> Iterator[int]:
    """A port at which `openssl s_server` shakes hands, which tells the other side why it refuses."""
    port = free_port()
    given = ("-accept", f"127.0.0.1:{port}", "-cert", pair.cert, "-key", pair.key)
    command = ("openssl", "s_server", "-quiet", *given, *options)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            yield port
        finally:
            process.kill()


def _key(pair: Pair) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", pair.key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
