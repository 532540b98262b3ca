"""Drivers by their name, from entry points: the real ones, and foreign ones installed into a folder."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.base import Driver
from drivers.registry import BrokenDriver, driver_classes
from drivers.serial import SerialDriver

Install = Callable[[str, str, str], None]
FOREIGN = """
from drivers.serial import SerialDriver
class Foreign(SerialDriver): ...
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package of one module with one entry point."""
    monkeypatch.syspath_prepend(tmp_path)
    driver_classes.cache_clear()

    def install(module: str, entry_point: str, code: str) -> None:
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[bellcrank.drivers]\n{entry_point}\n")

    yield install
    driver_classes.cache_clear()
    for name in [name for name in sys.modules if name.startswith("foreign_")]:
        del sys.modules[name]


def test_the_built_in_drivers_come_by_entry_points() -> None:
    classes = driver_classes()
    assert classes["serial"] is SerialDriver
    assert set(classes) >= {"http", "mqtt", "serial", "simulated"}
    assert all(issubclass(found, Driver) for found in classes.values())


def test_a_driver_is_known_in_the_configuration_by_its_own_name() -> None:
    for name, found in driver_classes().items():
        assert found.Source.model_fields["driver"].annotation.__args__ == (name,)  # type: ignore[union-attr]


def test_a_foreign_driver_is_found(install: Install) -> None:
    install("foreign_good", "zigbee = foreign_good:Foreign", FOREIGN)
    assert driver_classes()["zigbee"].__name__ == "Foreign"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("foreign_bad:Foreign", "import a_module_that_is_missing"),
        ("foreign_bad:Foreign", "raise RuntimeError('broken')"),
        ("foreign_bad:Missing", FOREIGN),
        ("foreign_bad:Foreign", "Foreign = 5"),
        ("foreign_bad:Foreign", "class Foreign: ..."),
    ],
)
def test_a_broken_foreign_driver_is_named(install: Install, target: str, code: str) -> None:
    install("foreign_bad", f"zigbee = {target}", code)
    with pytest.raises(BrokenDriver, match=rf"zigbee.*{target}"):
        driver_classes()


def test_a_foreign_driver_cannot_silently_take_the_name_of_another(install: Install) -> None:
    install("foreign_thief", "serial = foreign_thief:Foreign", FOREIGN)
    with pytest.raises(BrokenDriver, match="two packages bring a driver serial"):
        driver_classes()
