"""Secrets by reference.

`!secret NAME` from secrets.yaml beside the configuration, `!env NAME`, `!file PATH`, and `!credential ID` from what
systemd has loaded for the service (LoadCredential=).

A file that holds secrets must not be readable by others. No message shows what a secret is, nor what stands
behind `!secret` and `!env`: people write the secret itself there.
"""

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agent import yamlfile
from agent.yamlfile import Place, Tag, YamlProblem

_FILE_BYTES_MAX = 64 * 1024


def readable_by_others(path: Path) -> bool:
    """Whether the mode lets others read it."""
    return bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))


def tags(config: Path, env: Mapping[str, str]) -> dict[str, Tag]:
    """What the tags of a configuration file mean. They raise ValueError."""
    secrets = _SecretsFile(config.with_name("secrets.yaml"))

    def from_env(name: str, _: Place) -> str:
        if name not in env:
            raise ValueError(f"the environment has no variable of this name{_near(name, env)}")
        return env[name]

    def from_file(name: str, _: Place) -> str:
        if name.startswith("whsec_"):
            raise ValueError("behind !file stands the path of a file, not the secret itself")
        return _read(config.parent / name)

    def from_credential(name: str, _: Place) -> str:
        if "CREDENTIALS_DIRECTORY" not in env:
            raise ValueError("there is no $CREDENTIALS_DIRECTORY: only a service with LoadCredential= has one")
        if "/" in name or name in ("", ".", ".."):
            raise ValueError("a credential is named without a path")
        return _read(Path(env["CREDENTIALS_DIRECTORY"]) / name)

    return {"!secret": secrets.get, "!env": from_env, "!file": from_file, "!credential": from_credential}


class _SecretsFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._secrets: Mapping[str, Any] | None = None

    def get(self, name: str, _: Place) -> str:
        if self._secrets is None:
            self._secrets = self._load()
        if name not in self._secrets:
            raise ValueError(f"{self._path} has no secret of this name{_near(name, self._secrets)}")
        secret = self._secrets[name]
        if not isinstance(secret, str):
            raise ValueError(f"the secret {name} in {self._path} is no text: put it in quotes")
        return secret

    def _load(self) -> Mapping[str, Any]:
        try:
            refuse_if_others_read(self._path)
            document = yamlfile.load(self._path, {})
        except OSError as error:
            raise ValueError(f"{self._path}: {error.strerror}") from None
        except YamlProblem as problem:
            place = problem.place
            raise ValueError(f"{self._path}:{place.line}:{place.column}: not valid YAML") from None
        if document.problems or not isinstance(document.value, dict):
            raise ValueError(f"{self._path} has to be a mapping of names to secrets")
        return document.value


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only who mistypes needs it

    near = get_close_matches(name, known, 1)
    return f": did you mean {near[0]}?" if near else ""


def _read(path: Path) -> str:
    try:
        refuse_if_others_read(path)
        with path.open("rb") as file:
            raw = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if len(raw) > _FILE_BYTES_MAX:
        raise ValueError(f"{path} is larger than {_FILE_BYTES_MAX // 1024} KiB")
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None


def refuse_if_others_read(path: Path) -> None:
    """Raises ValueError that says how to mend it; OSError where there is no such file."""
    if readable_by_others(path):
        raise ValueError(f"{path} holds secrets and others may read it: chmod o-rwx {path}")
