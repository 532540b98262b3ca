"""The disk below the outbox: real file systems where root may mount them, and the judgement by table."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.doctor.disk import Facts, Mount, judge, mount_of
from tests.doctor.parts import by_name, configure, found
from tests.support.small_disk import Filler, small_disk

GB, MB = 10**9, 10**6
GOOD = Facts(
    folder=Path("/var/lib/bellcrank"),
    total_bytes=16 * GB,
    free_bytes=8 * GB,
    floor_bytes=32 * MB,
    max_bytes=64 * MB,
    used_bytes=MB,
    inodes=100_000,
    inodes_free=90_000,
    mount=Mount("/", "ext4", "/dev/mmcblk0p2", frozenset({"rw", "noatime"})),
    fsyncs_ms=[4.0] * 19 + [80.0],
    written_bytes=50 * MB,
    uptime_s=86_400.0,
)


def mounted(kind: str, *options: str) -> Mount:
    return Mount("/", kind, "dev", frozenset({"rw", *options}))


@pytest.mark.parametrize(
    ("facts", "name", "verdict", "seen"),
    [
        (GOOD, "space", "ok", "8.0 GB of 16.0 GB are free"),
        (replace(GOOD, free_bytes=32 * MB), "space", "bad", "leaves 32.0 MB alone"),
        (replace(GOOD, free_bytes=90 * MB), "space", "warn", "less than its `max_size` of 64.0 MB"),
        (replace(GOOD, inodes_free=10), "inodes", "warn", "10 of 100,000"),
        (GOOD, "file system", "ok", "ext4"),
        (replace(GOOD, mount=Mount("/", "ext4", "dev", frozenset({"ro"}))), "file system", "bad", "read-only"),
        (replace(GOOD, mount=mounted("overlay")), "file system", "warn", "forget all"),
        (replace(GOOD, mount=mounted("nfs4")), "file system", "warn", "another machine"),
        (replace(GOOD, mount=mounted("ext4", "nobarrier")), "file system", "warn", "nobarrier"),
        (GOOD, "fsync", "ok", "4.00 ms in the median, 80.0 ms at worst"),
        (replace(GOOD, fsyncs_ms=[4.0, 4.0, 3000.0]), "fsync", "warn", "3000.0 ms at worst"),
        (replace(GOOD, fsyncs_ms="Permission denied"), "fsync", "skipped", "Permission denied"),
        (GOOD, "wear", "ok", "50.0 MB a day; a cheap card of this size would last decades"),
        (replace(GOOD, set_aside=["outbox.damaged-X"]), "damage", "warn", "outbox.damaged-X"),
        (replace(GOOD, written_bytes=5 * GB), "wear", "warn", "less than a year"),
        (replace(GOOD, uptime_s=60.0), "wear", "skipped", "after an hour"),
        (replace(GOOD, written_bytes=None), "wear", "skipped", "only a running agent"),
    ],
)
def test_each_state_of_a_disk_has_its_verdict(facts: Facts, name: str, verdict: str, seen: str) -> None:
    it = by_name(judge(facts))
    assert it[name][0] == verdict
    assert seen in it[name][1]


def test_what_does_not_count_inodes_is_not_blamed_for_it() -> None:
    assert "inodes" not in by_name(judge(replace(GOOD, inodes=0, inodes_free=0)))


MOUNTS = r"""
22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw
30 22 0:26 / /var rw - tmpfs tmpfs rw,size=1k
31 22 0:27 / /var/lib rw - ext4 /dev/sda1 rw,nobarrier
32 22 0:28 / /mnt/my\040disk ro - vfat /dev/sdb1 rw
33 30 0:29 / /var rw - overlay over rw
garbage
"""


@pytest.mark.parametrize(
    ("folder", "kind", "option"),
    [
        ("/var/lib/bellcrank", "ext4", "nobarrier"),
        ("/var/library", "overlay", "rw"),
        ("/home", "ext4", "noatime"),
        ("/mnt/my disk/state", "vfat", "ro"),
    ],
)
def test_the_nearest_mount_counts_and_of_two_at_one_place_the_last(folder: str, kind: str, option: str) -> None:
    mount = mount_of(folder, MOUNTS)
    assert mount is not None
    assert mount.kind == kind
    assert option in mount.options


async def test_a_disk_is_measured_and_nothing_is_left_behind(tmp_path: Path) -> None:
    aside = tmp_path / "state" / "outbox.damaged-20260101T000000Z"
    aside.mkdir(parents=True)
    it = await found(configure(tmp_path, "sources: {}\n"), "disk")
    assert it["fsync"][0] in ("ok", "warn")
    assert it["fsync"][1].startswith("20 small writes took ")
    assert aside.name in it["damage"][1]
    assert list((tmp_path / "state").iterdir()) == [aside]


async def test_a_disk_in_memory_that_is_full_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path, "tmpfs") as place:
        Filler(place).fill()
        file = configure(tmp_path, "sources: {}\n")
        file.write_text(file.read_text().replace(f"{tmp_path}/state", str(place)))
        it = await found(file, "disk")
    assert it["space"][0] == "bad"
    assert it["file system"][0] == "warn"
    assert f"{place} lies on tmpfs" in it["file system"][1]
    assert it["fsync"][:2] == ("skipped", f"no file can be written in {place}: No space left on device")


async def test_a_state_directory_that_is_not_made_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    it = await found(configure(tmp_path, "sources: {}\n"), "disk")
    assert it["file system"][1].startswith(f"{tmp_path} lies on ")
