"""The access log as it grows, through rotation and truncation."""

import os
from pathlib import Path
from typing import BinaryIO

MOST = 8 * 1024 * 1024  # bytes of one reading; where more has come, the newest of it


class Follower:
    """Reads what was written since it was made. A file that is not there yet is read from its start when it comes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._file = self._opened()
        if self._file:
            self._file.seek(0, os.SEEK_END)

    def lines(self) -> list[str]:
        """The whole lines that are new; one that nginx has not finished waits for the next time.

        The old file is read to its end before the new one begins, so that a rotation hides at most what nginx writes to
        the old one after that, in the moment until it is told to open the new one.
        """
        text = self._new()
        if self._was_replaced():
            if self._file:
                self._file.close()
            self._file = self._opened()
            text += self._new()
        *whole, self._rest = (self._rest + text).split(b"\n")
        self._rest = self._rest[-MOST:]
        return [line.decode(errors="replace") for line in whole if line]

    def _new(self) -> bytes:
        if not self._file:
            return b""
        size = os.fstat(self._file.fileno()).st_size
        position = self._file.tell()
        if size < position:  # emptied in place
            position, self._rest = 0, b""
        if size - position > MOST:
            position, self._rest = size - MOST, b""
        self._file.seek(position)
        return self._file.read(size - position)

    def _was_replaced(self) -> bool:
        try:
            now = self._path.stat()
        except OSError:
            return False
        if not self._file:
            return True
        then = os.fstat(self._file.fileno())
        return (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino)

    def _opened(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except OSError:  # not there, or not to be read by us: the next turn tries again
            return None
