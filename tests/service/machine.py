"""A Debian of its own that is really booted: a copy of a root folder in systemd-nspawn, without a network.

It is entered by nsenter(1), so that nothing has to listen in it.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self, TypeVar

_BOOT_S = 60.0
_PATIENCE_S = 900.0
T = TypeVar("T")


class Unmet(Exception):
    """Something did not become so; the message says what was seen."""


class Machine:
    """Booted by `with`, and gone afterwards, with all that is in it."""

    def __init__(self, root: Path, folder: Path, binds: dict[Path, str]) -> None:
        """`root` is copied into `folder`; `binds`: what is seen in there too, read only."""
        self.root = folder / "root"
        subprocess.run(["cp", "-a", "--reflink=auto", f"{root}/.", str(self.root)], check=True)
        (self.root / "etc/machine-id").write_text("")
        bound = [f"--bind-ro={here}:{there}" for here, there in binds.items()]
        self._command = ["systemd-nspawn", "--register=no", "--keep-unit", "--quiet", f"--directory={self.root}"]
        self._command += ["--private-network", "--boot", "--console=read-only", *bound]
        self._boots = folder / "boot.log"
        self._log: IO[bytes]
        self._nspawn: subprocess.Popen[bytes]
        self._init = ""

    def __enter__(self) -> Self:
        self._log = self._boots.open("ab")
        self._nspawn = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        try:
            self._init = until(self._leader, _BOOT_S, "nspawn has no child")
            booted = ("running", "degraded")
            until(lambda: self.says("systemctl", "is-system-running") in booted, _BOOT_S, "it does not boot")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.run("systemctl", "poweroff", "--force", check=False)
        try:
            self._nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self._nspawn.terminate()
            self._nspawn.wait()
        self._log.close()
        shutil.rmtree(self.root)

    def run(self, *command: str, check: bool = True, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root. Raises Unmet with what it said."""
        entered = self._entered(command)
        done = subprocess.run(
            entered, input=text, capture_output=True, text=True, errors="replace", timeout=_PATIENCE_S, check=False
        )
        if check and done.returncode:
            raise Unmet(f"`{' '.join(command)}` ended with {done.returncode}: {(done.stdout + done.stderr)[-800:]}")
        return done

    def says(self, *command: str) -> str:
        """What a command in it says, whatever its exit code."""
        return self.run(*command, check=False).stdout.strip()

    def begin(self, output: Path, *command: str) -> subprocess.Popen[bytes]:
        """Run a command in it that goes on."""
        with output.open("wb") as file:
            return subprocess.Popen(
                self._entered(command), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )

    def end(self, begun: subprocess.Popen[bytes]) -> None:
        """End what `begin` began: nsenter's child, which is the command itself."""
        for child in Path(f"/proc/{begun.pid}/task/{begun.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)
        begun.wait(30)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.says("systemctl", "show", f"--property={name}", "--value", unit)

    def path(self, path: str) -> Path:
        """A file in it, seen from here."""
        return self.root / path.lstrip("/")

    def _entered(self, command: tuple[str, ...]) -> list[str]:
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
        return ["nsenter", f"--target={self._init}", "--all", "--wdns=/", *clean, *command]

    def _leader(self) -> str:
        if self._nspawn.poll() is not None:
            raise Unmet(f"systemd-nspawn ended: {self._boots.read_text(errors='replace')[-2000:]}")
        pid = self._nspawn.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()


def until(look: Callable[[], T], within_s: float, otherwise: str | Callable[[], str]) -> T:
    """Look until there is something to see. Raises Unmet."""
    end = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise Unmet(f"not within {within_s:.0f} s: {otherwise() if callable(otherwise) else otherwise}")
        time.sleep(0.2)
