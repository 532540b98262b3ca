"""Reading deliveries: from the file only when something may have become of them."""

import shutil
from pathlib import Path
from typing import Any

from agent.outbox import Archive, Filter, Letter
from agent.status.page.post import Post
from tests.status.page.parts import Clock


class Counting(Archive):
    """An archive that counts how often it is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read = 0

    def find(self, *wanted: Any, **more: Any) -> list[Letter]:
        self.read += 1
        return super().find(*wanted, **more)


async def test_the_newest_are_read_anew_only_where_the_mark_has_changed_and_every_few_seconds(archive: Path) -> None:
    file, clock = Counting(archive), Clock()
    post = Post(file, dict, clock.now)
    for mark, passed_s, read in (("a", 0, 1), ("a", 1, 1), ("b", 0, 2), ("b", 4.5, 2), ("b", 0.5, 3)):
        clock.at += passed_s
        assert len(await post.newest(Filter(), 100, mark)) == 8
        assert file.read == read


async def test_each_filter_has_its_own(archive: Path) -> None:
    post = Post(Archive(archive), dict, Clock().now)
    assert len(await post.newest(Filter(webhook="ops"), 100, "a")) == 4
    assert len(await post.newest(Filter(webhook="phone"), 100, "a")) == 4
    assert len(await post.newest(Filter(webhook="ops"), 2, "a")) == 2


async def test_while_the_file_cannot_be_read_what_was_read_before_is_shown(archive: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(archive, tmp_path))
    post = Post(Archive(copy), dict, Clock().now)
    before = await post.newest(Filter(), 100, "a")
    shutil.copy(__file__, copy)  # which is no database
    assert await post.newest(Filter(), 100, "b") == before
    assert await post.newest(Filter(webhook="ops"), 100, "b") == ()
