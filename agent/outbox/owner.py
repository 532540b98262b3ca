"""Whose the files of the outbox are: what root makes there has to be opened by the agent later."""

import os
from pathlib import Path


def hand_over(path: Path) -> None:
    """Give what root has made to the owner of the folder that it lies in; done by others it changes nothing.

    A link is not followed, since whoever owns the folder may have put it there. Raises OSError.
    """
    if os.geteuid() != 0:
        return
    folder, own = path.parent.stat(), path.lstat()
    if (own.st_uid, own.st_gid) != (folder.st_uid, folder.st_gid):
        os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)
