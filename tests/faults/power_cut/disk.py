"""What a disk has of some files when its power is cut: what was made durable, and of the rest nobody knows how much.

A write goes to the kernel's memory. From there any sector of it may reach the disk at any time, in any order, or none
of it, until the file is made durable (fsync(2)). So with a sector that was written three times the disk has it as it
was before, or behind the first, the second or the third write. How long a file is, and which names a folder has, is
kept apart from what is in it: a file may have grown and hold zeros there, and a new name may be missing.

Where a call to make durable fails, the kernel takes the pages for written all the same (Rebello et al., *Can
Applications Recover from fsync Failures?*, 2020): they are read as they are, and no later call writes them, unless the
page is written to again. Here they are `forgotten`.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import NamedTuple

from tests.faults.power_cut.recording import CREATED, EMPTIED, Kind, Record

PAGE_BYTES = 4096
"""What the kernel writes at once."""
SECTORS_BYTES = (512, 4096)
"""What a disk writes whole or not at all; cards and old disks have the smaller."""


class Change(NamedTuple):
    """A write, or with `data` None a new length."""

    at: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            content[self.at :] = bytes(max(0, self.at - len(content)))
            return
        end = self.at + len(self.data)
        if len(content) < end:
            content.extend(bytes(end - len(content)))
        content[self.at : end] = self.data

    def length(self, before: int) -> int:
        """Of the file behind it."""
        return self.at if self.data is None else max(before, self.at + len(self.data))


@dataclass
class File:
    """One file, whatever its names are."""

    content: bytearray = field(default_factory=bytearray)
    """As it is read."""
    disk: bytearray = field(default_factory=bytearray)
    """As the disk has it for sure."""
    pending: list[Change] = field(default_factory=list)
    """Between the two."""
    forgotten: defaultdict[int, list[Change]] = field(default_factory=lambda: defaultdict(list))
    """Of what only seems to be on the disk, by page."""

    def change(self, change: Change) -> None:
        change.apply(self.content)
        if self.forgotten and change.data is not None:
            for page in range(change.at // PAGE_BYTES, (change.at + max(1, len(change.data)) - 1) // PAGE_BYTES + 1):
                self.pending += self.forgotten.pop(page, [])
        self.pending.append(change)

    def make_durable(self, count: int) -> None:
        """The first so many of what is pending."""
        for change in self.pending[:count]:
            change.apply(self.disk)
        del self.pending[:count]

    def forget(self, count: int) -> None:
        """They failed to be made durable."""
        for change in self.pending[:count]:
            for piece in _pieces(change, PAGE_BYTES):
                self.forgotten[piece.at // PAGE_BYTES].append(piece)
        self.pending[:count] = [change for change in self.pending[:count] if change.data is None]

    def unsure(self) -> list[Change]:
        """All that the disk may have or not."""
        return [change for changes in self.forgotten.values() for change in changes] + self.pending


def _pieces(change: Change, size_bytes: int) -> list[Change]:
    """A write by sectors or pages."""
    if change.data is None:
        return []
    pieces, at, end = [], change.at, change.at + len(change.data)
    while at < end:
        until = min(end, (at // size_bytes + 1) * size_bytes)
        pieces.append(Change(at, change.data[at - change.at : until - change.at]))
        at = until
    return pieces


class Disk:
    """Follows a recording, and tells what there would be if the power were cut now."""

    def __init__(self) -> None:
        self.names: dict[str, File] = {}
        """As they are seen."""
        self.durable_names: dict[str, File] = {}
        self.pending_names: list[dict[str, File | None]] = []
        """Names that came (to a file) or went (None), each step of it whole or not at all, in their order."""
        self.version = 0
        """Counts what was made durable: with the same number there is the same to drop to."""
        self._open: dict[tuple[int, int], tuple[File | None, int]] = {}
        """By process and descriptor: the file (None: the folder), and how much was pending as its making durable
        began."""

    def follow(self, record: Record) -> None:
        """Take up the next record."""
        steps: dict[Kind, Callable[[Record], None]] = {
            Kind.OPENED: self._opened,
            Kind.CLOSED: self._closed,
            Kind.WRITTEN: lambda it: self._change(it, Change(it.at, it.data)),
            Kind.SIZED: lambda it: self._change(it, Change(it.length, None)),
            Kind.ALLOCATED: self._allocated,
            Kind.SYNCING: self._syncing,
            Kind.SYNCED: self._synced,
            Kind.RENAMED: self._renamed,
            Kind.UNLINKED: lambda it: self._name({it.names[0]: None}),
        }
        if record.kind in steps:
            steps[record.kind](record)

    def kept(self) -> dict[str, bytes]:
        """All that was written is there."""
        return {name: bytes(file.content) for name, file in self.names.items()}

    def dropped(self) -> dict[str, bytes]:
        """Only what was made durable is there."""
        return {name: bytes(file.disk) for name, file in self.durable_names.items()}

    def sampled(self, chance: Random) -> dict[str, bytes]:
        """Something between the two."""
        names = dict(self.durable_names)
        for step in self.pending_names[: chance.randint(0, len(self.pending_names))]:
            _rename(names, step)
        choose, sector_bytes = chance.choice(WAYS), chance.choice(SECTORS_BYTES)
        return {name: choose(file, sector_bytes, chance) for name, file in names.items()}

    # -- what happens

    def _opened(self, record: Record) -> None:
        if not record.name:
            self._open[record.pid, record.fd] = None, 0
            return
        if record.name not in self.names:
            assert record.at & CREATED, f"{record.name} was there before the recording"
            self._name({record.name: File()})
        file = self.names[record.name]
        if record.at & EMPTIED and file.content:
            file.change(Change(0, None))
        self._open[record.pid, record.fd] = file, 0

    def _closed(self, record: Record) -> None:
        self._open.pop((record.pid, record.fd), None)

    def _file(self, record: Record) -> File | None:
        return self._open[record.pid, record.fd][0]

    def _change(self, record: Record, change: Change) -> None:
        if (file := self._file(record)) is not None:
            file.change(change)

    def _allocated(self, record: Record) -> None:
        file = self._file(record)
        if file is not None and len(file.content) < record.at + record.length:
            file.change(Change(record.at + record.length, None))

    def _syncing(self, record: Record) -> None:
        file = self._file(record)
        self._open[record.pid, record.fd] = file, len(self.pending_names if file is None else file.pending)

    def _synced(self, record: Record) -> None:
        file, count = self._open[record.pid, record.fd]
        self.version += 1
        if file is None:
            if not record.result:
                for step in self.pending_names[:count]:
                    _rename(self.durable_names, step)
                del self.pending_names[:count]
        elif record.result:
            file.forget(count)
        else:
            file.make_durable(count)

    def _renamed(self, record: Record) -> None:
        before, after = record.names
        self._name({after: self.names[before], before: None})

    def _name(self, step: dict[str, File | None]) -> None:
        _rename(self.names, step)
        self.pending_names.append(step)


def _rename(names: dict[str, File], step: Mapping[str, File | None]) -> None:
    for name, file in step.items():
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file


# -- ways to choose what of a file the disk has


def in_order(file: File, _sector_bytes: int, chance: Random) -> bytes:
    """Written in order up to some point, be it in the middle of a write."""
    content, changes = bytearray(file.disk), file.unsure()
    count = chance.randint(0, len(changes))
    for change in changes[:count]:
        change.apply(content)
    if count < len(changes) and (data := changes[count].data):
        Change(changes[count].at, data[: chance.randint(0, len(data))]).apply(content)
    return bytes(content)


def by_sector(file: File, sector_bytes: int, chance: Random) -> bytes:
    """Each sector as it was behind one of its writes, or before the first; so too the length of the file."""
    share = chance.choice([0.1, 0.5, 0.9])
    return _by_sector(file, sector_bytes, lambda n: n if chance.random() < share else chance.randint(0, n), chance)


def few_by_sector(file: File, sector_bytes: int, chance: Random) -> bytes:
    """The same, but of most sectors nothing."""
    share = chance.choice([0.5, 0.9, 0.98])
    return _by_sector(file, sector_bytes, lambda n: 0 if chance.random() < share else chance.randint(0, n), chance)


def one_missing(file: File, _sector_bytes: int, chance: Random) -> bytes:
    """All but one."""
    content, changes = bytearray(file.disk), file.unsure()
    missing = chance.randrange(len(changes)) if changes else 0
    for change in changes[:missing] + changes[missing + 1 :]:
        change.apply(content)
    return bytes(content)


def last_only(file: File, _sector_bytes: int, chance: Random) -> bytes:
    """Nothing but the last ones."""
    content, changes = bytearray(file.disk), file.unsure()
    for change in changes[len(changes) - min(len(changes), chance.randint(1, 3)) :]:
        change.apply(content)
    return bytes(content)


def grown_only(file: File, _sector_bytes: int, _chance: Random) -> bytes:
    """As long as it should be, with nothing of what was written."""
    content = bytearray(file.disk)
    for length in accumulate(file.unsure(), lambda before, change: change.length(before), initial=len(content)):
        Change(length, None).apply(content)
    return bytes(content)


WAYS = (in_order, by_sector, by_sector, few_by_sector, one_missing, last_only, grown_only)


def _by_sector(file: File, sector_bytes: int, pick: Callable[[int], int], chance: Random) -> bytes:
    changes = file.unsure()
    lengths = list(accumulate(changes, lambda before, change: change.length(before), initial=len(file.disk)))
    content = bytearray(file.disk)
    shortest = min((change.at for change in changes if change.data is None), default=None)
    if shortest is not None and shortest < len(content) and chance.random() < 0.5:  # it was cut off, then written to
        Change(shortest, None).apply(content)
    sectors: defaultdict[int, list[Change]] = defaultdict(list)
    for change in changes:
        for piece in _pieces(change, sector_bytes):
            sectors[piece.at // sector_bytes].append(piece)
    for pieces in sectors.values():
        for piece in pieces[: pick(len(pieces))]:
            piece.apply(content)
    Change(lengths[pick(len(lengths) - 1)], None).apply(content)
    return bytes(content)
