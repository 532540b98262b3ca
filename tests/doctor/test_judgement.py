"""Clock, memory, versions, configuration: the judgements by table, and what is measured on this machine."""

import fcntl
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from agent.doctor import Finding, Verdict, clock, configuration, exit_code, memory, versions
from agent.doctor.processes import Account, Process, account, descriptors, lock_holder, openers, rss_bytes, same_device
from tests.doctor.parts import by_name, configure, found

MIB = 1024 * 1024
CLOCK = clock.Facts(wall=1_790_000_000.0, word="synced", has_rtc=True, skew_s=0.4)
MEMORY = memory.Facts(
    total_bytes=1024 * MIB,
    available_bytes=512 * MIB,
    group_limit_bytes=None,
    rss_bytes=60 * MIB,
    descriptors=(40, 1024),
    descriptors_allowed=1024,
)
VERSIONS = versions.Facts("1.2.0", None, "3.11.2", "3.40.1", [("paho-mqtt", "2.2")], "Debian", "aarch64", ["orjson"])
PI = Account("bellcrank", 999, frozenset({999}))


def status(mode: int, uid: int = 999, gid: int = 999) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


CONFIGURATION = configuration.Facts(
    file=Path("/etc/bellcrank/bellcrank.yaml"),
    summary="1 source",
    problems=(),
    files={Path("/etc/bellcrank/secrets.yaml"): status(stat.S_IFREG | 0o640, 0)},
    state_dir=Path("/var/lib/bellcrank"),
    state=status(stat.S_IFDIR | 0o700),
    account=PI,
    running=None,
    kept_out=None,
    holder=None,
)


@pytest.mark.parametrize(
    ("facts", "name", "verdict", "seen"),
    [
        (CLOCK, "time", "ok", "synchronised"),
        (replace(CLOCK, word="unsynced"), "time", "warn", "does not know of anybody who sets it"),
        (replace(CLOCK, word="implausible", wall=10.0), "time", "bad", "1970-01-01 00:00:10 UTC is surely wrong"),
        (replace(CLOCK, has_rtc=False), "battery", "ok", "no clock runs while the power is off"),
        (CLOCK, "receivers", "ok", "within 0 s"),
        (replace(CLOCK, skew_s=-600.0), "receivers", "warn", "10 m behind"),
    ],
)
def test_each_state_of_a_clock_has_its_verdict(facts: clock.Facts, name: str, verdict: str, seen: str) -> None:
    it = by_name(clock.judge(facts))
    assert it[name][0] == verdict
    assert seen in it[name][1]


@pytest.mark.parametrize(
    ("facts", "name", "verdict"),
    [
        (MEMORY, "available", "ok"),
        (replace(MEMORY, available_bytes=50 * MIB), "available", "warn"),
        (replace(MEMORY, available_bytes=100 * MIB), "available", "ok"),
        (replace(MEMORY, group_limit_bytes=96 * MIB), "limit", "warn"),
        (replace(MEMORY, group_limit_bytes=256 * MIB), "limit", "ok"),
        (MEMORY, "agent", "ok"),
        (replace(MEMORY, rss_bytes=400 * MIB), "agent", "warn"),
        (MEMORY, "descriptors", "ok"),
        (replace(MEMORY, descriptors=(1000, 1024)), "descriptors", "warn"),
        (replace(MEMORY, descriptors=None, descriptors_allowed=64), "descriptors", "warn"),
    ],
)
def test_each_state_of_memory_has_its_verdict(facts: memory.Facts, name: str, verdict: str) -> None:
    assert by_name(memory.judge(facts))[name][0] == verdict


@pytest.mark.parametrize(("running", "verdict"), [(None, "ok"), ("1.2.0", "ok"), ("1.1.0", "warn")])
def test_an_agent_of_another_version_waits_for_its_restart(running: str | None, verdict: str) -> None:
    assert by_name(versions.judge(replace(VERSIONS, running=running)))["bellcrank"][0] == verdict


@pytest.mark.parametrize(
    ("facts", "name", "verdict", "seen"),
    [
        (CONFIGURATION, "file", "ok", "1 source"),
        (replace(CONFIGURATION, summary=None, problems=("f.yaml:1:2: x",)), "file", "bad", "f.yaml:1:2: x"),
        (CONFIGURATION, "mode", "ok", "-rw-r-----"),
        (replace(CONFIGURATION, files={Path("s"): status(0o100600, 0, 0)}), "mode", "bad", "bellcrank may not read it"),
        (replace(CONFIGURATION, files={Path("s"): status(0o100646, 0)}), "mode", "warn", "everybody may change it"),
        (CONFIGURATION, "state", "ok", "drwx------"),
        (replace(CONFIGURATION, state=None), "state", "ok", "the first start makes it"),
        (replace(CONFIGURATION, state=status(0o100600)), "state", "bad", "is no directory"),
        (replace(CONFIGURATION, state=status(stat.S_IFDIR | 0o700, 0, 0)), "state", "bad", "may not write there"),
        (replace(CONFIGURATION, state=status(stat.S_IFDIR | 0o755)), "state", "warn", "others may look into it"),
        (CONFIGURATION, "agent", "ok", "none runs"),
        (replace(CONFIGURATION, running="cabin"), "agent", "ok", "it runs: cabin"),
        (replace(CONFIGURATION, kept_out="no permission for X"), "agent", "warn", "no permission"),
        (replace(CONFIGURATION, holder=Process(7, "x")), "agent", "bad", "x (process 7) has the outbox"),
    ],
)
def test_each_state_of_a_configuration_has_its_verdict(
    facts: configuration.Facts, name: str, verdict: str, seen: str
) -> None:
    it = by_name(configuration.judge(facts))
    assert it[name][0] == verdict
    assert seen in it[name][1]


def test_of_many_problems_the_first_twenty_are_told() -> None:
    facts = replace(CONFIGURATION, summary=None, problems=tuple(f"f.yaml:{n}:1: x" for n in range(30)))
    problems = [finding for finding in configuration.judge(facts) if finding.name == "file"]
    assert len(problems) == 21
    assert problems[-1].seen == "and 10 more"


@pytest.mark.parametrize(
    ("verdicts", "bad_config", "code"),
    [([], False, 0), (["ok", "warn", "skipped"], False, 0), (["ok", "bad"], False, 1), (["bad"], True, 78)],
)
def test_the_exit_code_tells_the_worst(verdicts: list[str], bad_config: bool, code: int) -> None:
    findings = [Finding("s", "n", Verdict(verdict), "") for verdict in verdicts]
    assert exit_code(findings, bad_config=bad_config) == code


def test_the_smallest_figures_of_this_machine_can_be_read(tmp_path: Path) -> None:
    assert memory.meminfo("MemTotal:  1024 kB\nHugePages_Total: 0\n")["MemTotal"] == MIB
    assert (rss_bytes(os.getpid()) or 0) > MIB
    assert (descriptors(os.getpid()) or (0, 0))[0] > 2
    assert account(os.getpid()).uid == os.geteuid()
    assert openers(tmp_path) == []
    assert rss_bytes(2**22 + 1) is None
    assert descriptors(2**22 + 1) is None


def node(device: int, inode: int, numbers: tuple[int, int], mode: int = stat.S_IFCHR) -> os.stat_result:
    return os.stat_result((mode | 0o660, inode, device, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": os.makedev(*numbers)})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (node(5, 7, (188, 0)), node(5, 7, (188, 0)), True),
        (node(5, 7, (188, 0)), node(6, 9, (188, 0)), True),
        (node(5, 7, (188, 0)), node(5, 8, (188, 1)), False),
        (node(5, 7, (136, 3)), node(6, 7, (136, 3)), False),
        (node(5, 7, (0, 0), stat.S_IFREG), node(5, 8, (0, 0), stat.S_IFREG), False),
    ],
)
def test_a_device_is_known_again_behind_another_node_but_not_another_terminal(
    one: os.stat_result, other: os.stat_result, same: bool
) -> None:
    assert same_device(one, other) is same


def test_who_has_a_lock_is_seen_without_touching_it(tmp_path: Path) -> None:
    path = tmp_path / "outbox.lock"
    assert lock_holder(path) is None
    with path.open("w") as file:
        assert lock_holder(path) is None
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lock_holder(path) == os.getpid()
    assert lock_holder(path) is None


async def test_all_that_needs_no_configuration_is_looked_at_without_one(tmp_path: Path) -> None:
    file = configure(tmp_path, "sourcs: {}\n")
    it = await found(file, "configuration", "clock", "memory", "versions", "disk", "broker")
    assert it["file"][0] == "bad"
    assert "did you mean sources?" in it["file"][1]
    assert {"time", "available", "bellcrank", "space"} <= it.keys()
    assert it["all"][0] == "skipped"
