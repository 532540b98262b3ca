"""From what there is on a machine and what a person asks for to the steps, and the way back."""

from pathlib import Path

import pytest

from agent.install import plan, refusals, removal
from agent.install.plan import Plan
from agent.install.steps import Step
from agent.install.wish import Facts, Python, Source, Standing, Wish
from agent.service import Service

MAIN, GARAGE = Service(), Service("garage")
CLEAN = Facts(
    is_root=True,
    machine="aarch64",
    has_systemd=True,
    python=Python(Path("/usr/bin/python3"), (3, 11), has_venv=True),
    free_bytes=10**10,
    releases=(),
    current=None,
    agents=(),
)
INSTALLED = CLEAN._replace(
    releases=("0.1.0-2", "0.1.0-10", "0.1.0-9"),
    current="0.1.0-10",
    agents=(Standing(MAIN, running=True, has_process=True), Standing(GARAGE, running=False, has_process=False)),
    configs=(MAIN, GARAGE),
)
CHECKOUT = Source("0.2.0", Path("/src"), Path("/src/requirements/run.txt"))
WHEEL = Source("0.2.0", Path("/w/bellcrank-0.2.0-py3-none-any.whl"), None)


def install(
    facts: Facts = CLEAN, source: Source = CHECKOUT, service: Service | None = None, wheels: Path | None = None
) -> Plan:
    return plan.install(facts, Wish(source, service, wheels))


def lines(steps: tuple[Step, ...] | list[Step]) -> list[str]:
    return [" ".join(step.command) for step in steps]


def place(steps: tuple[Step, ...] | list[Step], part: str) -> int:
    """Where the one command with this part stands."""
    found = [number for number, line in enumerate(lines(steps)) if part in line]
    assert len(found) == 1, (part, lines(steps))
    return found[0]


def test_the_first_time_all_is_made_before_anything_is_started() -> None:
    made = install()
    order = ["-m venv /opt/bellcrank/releases/0.2.0-1", "--require-hashes", "/src", "systemd-sysusers"]
    order += ["config init /etc/bellcrank/bellcrank.yaml", "systemd-tmpfiles"]
    places = [next(n for n, line in enumerate(lines(made.prepare)) if part in line) for part in order]
    assert places[:2] + places[3:] == sorted(places[:2] + places[3:])
    assert not any("systemctl" in line for line in lines(made.prepare))
    assert lines(made.switch)[-2:] == [
        "systemctl start --no-block bellcrank.service",
        "/opt/bellcrank/releases/0.2.0-1/bin/python -I -m agent.install.ready bellcrank.service 60",
    ]
    assert place(made.switch, "mv -T") < place(made.switch, "systemctl enable --quiet bellcrank.service")
    assert lines(list(made.back)) == ["systemctl disable --quiet --now bellcrank.service"]


def test_an_update_checks_first_then_stops_keeps_and_switches() -> None:
    made = install(INSTALLED)
    assert place(made.prepare, "config check --config /etc/bellcrank/bellcrank.yaml") == len(made.prepare) - 1
    kept = "0.1.0-10/bin/python -I -m agent.install.outbox keep /etc/bellcrank/bellcrank.yaml"
    order = ["systemctl stop bellcrank.service", kept, "mv -T", "daemon-reload", "systemctl start", "install.ready"]
    places = [place(made.switch, part) for part in order]
    assert places == sorted(places)


def test_the_outbox_is_kept_as_its_owner_by_the_version_that_can_read_it() -> None:
    made = install(INSTALLED)
    [line] = [line for line in lines(made.switch) if "outbox keep /etc/bellcrank/garage.yaml" in line]
    assert line.startswith(
        "runuser -u bellcrank -- env STATE_DIRECTORY=/var/lib/bellcrank-garage /opt/bellcrank/releases/0.1.0"
    )
    assert line.endswith("/var/backups/bellcrank/0.2.0-11/garage.outbox")


def test_an_update_writes_no_configuration_and_starts_no_agent_that_was_off() -> None:
    made = install(INSTALLED)
    every = lines([*made.prepare, *made.switch, *made.tidy, *made.back])
    assert not any("config init" in line for line in every)
    assert not any("systemctl" in line and "garage" in line for line in every)


def test_the_configuration_is_checked_with_what_the_running_service_was_given() -> None:
    made = install(INSTALLED)
    assert made.prepare[-1].like == MAIN


def test_the_way_back_is_the_old_release_with_its_units_and_then_the_new_one_goes() -> None:
    made = install(INSTALLED)
    order = [
        "systemctl stop",
        "ln -sfn /opt/bellcrank/releases/0.1.0-10",
        "mv -T",
        "0.1.0-10/share/bellcrank/systemd/bellcrank.service",
        "0.1.0-10/bin/python -I -m agent.install.outbox put-back",
        "systemctl start",
        "0.1.0-10/bin/python -I -m agent.install.ready",
        "rm -rf /opt/bellcrank/releases/0.2.0-11",
    ]
    places = [place(made.back, part) for part in order]
    assert places == sorted(places)


def test_the_new_release_goes_where_it_could_not_be_made() -> None:
    assert lines(install(INSTALLED).abandon) == ["rm -rf /opt/bellcrank/releases/0.2.0-11"]


def test_two_releases_are_kept_with_their_backups_and_no_backup_of_an_update_that_failed() -> None:
    facts = INSTALLED._replace(backups=("0.1.0-9", "0.1.0-10", "0.2.0-11", "0.5.0-11"))
    releases = [f"rm -rf /opt/bellcrank/releases/{name}" for name in ("0.1.0-2", "0.1.0-9")]
    backups = [f"rm -rf /var/backups/bellcrank/{name}" for name in ("0.1.0-9", "0.5.0-11")]
    assert lines(install(facts).tidy) == releases + backups


def test_no_release_gets_a_name_that_one_had() -> None:
    assert plan.next_release(INSTALLED, "0.1.0") == "0.1.0-11"
    assert plan.next_release(CLEAN, "0.1.0") == "0.1.0-1"


def test_one_more_agent_uses_the_release_that_is_there() -> None:
    made = install(INSTALLED._replace(agents=(), configs=(MAIN,)), Source("0.1.0", None, None), service=GARAGE)
    init = "/opt/bellcrank/releases/0.1.0-10/bin/bellcrank config init /etc/bellcrank/garage.yaml"
    assert lines(made.prepare)[0] == f"{init} --instance garage --port 8331"
    assert lines(made.switch)[:2] == [
        "systemctl enable --quiet bellcrank@garage.service",
        "systemctl start --no-block bellcrank@garage.service",
    ]
    assert not any("bellcrank.service" in line for line in lines([*made.prepare, *made.switch, *made.back]))


def test_a_first_agent_with_a_name_is_the_only_one() -> None:
    made = install(service=GARAGE)
    assert not any("bellcrank.service" in line and "systemctl" in line for line in lines(made.switch))
    assert "systemctl enable --quiet bellcrank@garage.service" in lines(made.switch)


def test_a_configuration_that_is_there_is_not_written() -> None:
    made = install(CLEAN._replace(configs=(MAIN,)))
    assert not any("config init" in line for line in lines(made.prepare))


def test_an_agent_without_a_process_is_checked_by_its_start_as_its_credentials_come_with_it() -> None:
    crashing = INSTALLED._replace(agents=(Standing(MAIN, running=True, has_process=False),))
    made = install(crashing)
    assert not any("config check" in line for line in lines([*made.prepare, *made.switch]))
    assert "systemctl start --no-block bellcrank.service" in lines(made.switch)


def test_a_wheel_brings_its_own_lock_file() -> None:
    made = install(source=WHEEL)
    home = "/opt/bellcrank/releases/0.2.0-1"
    assert place(made.prepare, "--no-deps --no-index /w/bellcrank-0.2.0-py3-none-any.whl") < place(
        made.prepare, f"--require-hashes --requirement {home}/share/bellcrank/requirements.txt"
    )


def test_what_runs_this_is_made_a_wheel_of() -> None:
    made = install(source=Source("0.2.0", None, None))
    wheel = "/opt/bellcrank/releases/0.2.0-1/bellcrank-0.2.0-py3-none-any.whl"
    assert place(made.prepare, f"agent.install.pack {wheel}") + 1 == place(made.prepare, f"--no-index {wheel}")


@pytest.mark.parametrize("source", [CHECKOUT, WHEEL])
def test_with_a_folder_of_wheels_nothing_comes_from_the_network(source: Source) -> None:
    for step in install(source=source, wheels=Path("/usb/wheels")).prepare:
        if "install" in step.command and "--quiet" in step.command:
            assert "--no-index" in step.command, step
        if "--require-hashes" in step.command:
            assert "--find-links /usb/wheels" in " ".join(step.command)


def test_going_back_is_to_the_newest_release_but_the_one_that_runs() -> None:
    made = plan.back(INSTALLED, 60)
    assert made
    assert "ln -sfn /opt/bellcrank/releases/0.1.0-9 /opt/bellcrank/current.new" in lines(made.switch)
    assert any("put-back" in line and "/var/backups/bellcrank/0.1.0-10/" in line for line in lines(made.switch))
    assert not any("rm -rf" in line for line in lines(made.switch))
    assert plan.back(INSTALLED._replace(releases=("0.1.0-10",)), 60) is None
    assert plan.back(CLEAN, 60) is None


# -- uninstall


def test_uninstall_leaves_data_and_configuration() -> None:
    gone = " ".join(lines(removal.uninstall(INSTALLED, None, purge=False)))
    assert "systemctl disable --quiet --now bellcrank.service" in gone
    assert "bellcrank@garage.service" in gone
    assert "rm -rf /opt/bellcrank" in gone
    assert not [path for path in ("/etc/bellcrank", "/var/", "userdel") if path in gone]


def test_a_purge_removes_them_and_the_user() -> None:
    facts = INSTALLED._replace(states=(Path("/var/lib/bellcrank"), Path("/var/lib/bellcrank-garage")))
    gone = lines(removal.uninstall(facts, None, purge=True))
    assert "rm -rf /etc/bellcrank" in gone
    assert "rm -rf /var/lib/bellcrank /var/lib/bellcrank-garage /var/backups/bellcrank" in gone
    assert "userdel bellcrank" in gone[-1]


def test_one_of_several_goes_alone() -> None:
    gone = " ".join(lines(removal.uninstall(INSTALLED, GARAGE, purge=True)))
    assert "/etc/bellcrank/garage.yaml /etc/bellcrank/garage.whsec" in gone
    assert "rm -rf /var/lib/bellcrank-garage" in gone
    assert not [part for part in ("/opt", "bellcrank.service", "/var/lib/bellcrank ", "/var/backups") if part in gone]


# -- refusals


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (CLEAN._replace(is_root=False), "This has to be done as root: put `sudo` before it."),
        (CLEAN._replace(has_systemd=False), "systemd does not run this machine"),
        (CLEAN._replace(python=None), "There is no /usr/bin/python3"),
        (
            CLEAN._replace(python=Python(Path("/usr/bin/python3"), (3, 9), has_venv=True)),
            "is Python 3.9; 3.11 or newer",
        ),
        (
            CLEAN._replace(python=Python(Path("/usr/bin/python3"), (3, 13), has_venv=False)),
            "apt-get install python3-venv",
        ),
        (CLEAN._replace(machine="armv6l"), "no ready-made packages for a processor of the kind armv6l"),
        (CLEAN._replace(free_bytes=5 * 10**6), "There are 5 MB free at /opt/bellcrank; 250 MB are needed."),
        (CLEAN._replace(foreign=(Path("/etc/systemd/system/bellcrank.service"),)), "hides the unit of this version"),
        (CLEAN._replace(foreign=(Path("/opt/bellcrank"),)), "/opt/bellcrank is there and was not made by"),
    ],
)
def test_what_stands_against_it_is_told_in_a_sentence(facts: Facts, says: str) -> None:
    [sentence] = refusals.of_install(facts, Wish(CHECKOUT))
    assert says in sentence


def test_nothing_stands_against_a_clean_machine() -> None:
    assert refusals.of_install(CLEAN, Wish(CHECKOUT)) == []
    assert refusals.of_install(CLEAN._replace(machine="riscv64"), Wish(CHECKOUT, wheels=Path("/w"))) == []


def test_an_agent_that_is_not_there_cannot_be_removed() -> None:
    [sentence] = refusals.of_uninstall(INSTALLED, Service("attic"))
    assert (
        sentence
        == "There is no agent bellcrank@attic.service here; there is: bellcrank.service, bellcrank@garage.service."
    )
