"""`python -m agent.install.pack FILE.whl`: the wheel of the bellcrank that runs this, made of its installed files.

So an installation by pipx or uv, which keep no wheel, can install the service without asking anybody for one.
Binary distribution format: https://packaging.python.org/specifications/binary-distribution-format/
"""

import base64
import hashlib
import os
import sys
import zipfile
from importlib import metadata
from pathlib import Path, PurePosixPath

_MADE_BY_INSTALLERS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}


def pack(target: Path) -> None:
    """Write the wheel. Raises OSError."""
    found = metadata.distribution("bellcrank")
    home = f"bellcrank-{found.version}"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as wheel:
        record = []
        for file in found.files or ():
            name = _in_wheel(PurePosixPath(file), home)
            if name is not None:
                content = Path(os.fspath(file.locate())).read_bytes()
                wheel.writestr(name, content)
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                record.append(f"{name},sha256={digest},{len(content)}\n")
        wheel.writestr(f"{home}.dist-info/RECORD", "".join(record) + f"{home}.dist-info/RECORD,,\n")


def _in_wheel(file: PurePosixPath, home: str) -> str | None:
    """What an installed file is called in the wheel; None: it came to be at the installation."""
    if file.suffix == ".pyc" or file.name in _MADE_BY_INSTALLERS:
        return None
    if ".." not in file.parts:
        return str(file)
    outside = [part for part in file.parts if part != ".."]
    return f"{home}.data/data/{'/'.join(outside)}" if outside[0] == "share" else None


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
