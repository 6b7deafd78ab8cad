"""The book of a host: an SQLite file that all its processes share."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import math
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from .book import FORGOTTEN_SECONDS, Ask, Turn, look_again
from .files import Members, file_name, members_of, shared_directory
from .limits import Limits

logger = logging.getLogger("aai_stream")

T = TypeVar("T")

SCHEMA = """
    CREATE TABLE account (spent REAL NOT NULL, name TEXT NOT NULL);
    CREATE TABLE members (number INTEGER PRIMARY KEY, held INTEGER NOT NULL);
    CREATE TABLE waiting (
        member INTEGER NOT NULL, came TEXT NOT NULL, urgency REAL NOT NULL,
        forgotten_at REAL NOT NULL, PRIMARY KEY (member, came)
    ) WITHOUT ROWID;
"""

RANKS = """
    SELECT rank FROM (
        SELECT member, row_number() OVER (ORDER BY urgency DESC, came, member) - 1
            AS rank
        FROM waiting WHERE member = :me OR forgotten_at > :now
    ) WHERE member = :me ORDER BY rank
"""

BUSY_SECONDS = 30.0
"""How long to wait for others who write; each takes less than a millisecond."""


class HostBook:
    """Counts the sessions of all processes that open the same file, or, without one, of
    this process. If the file fails, so it goes on, and says so once.

    `clock` gives seconds, and the same ones in all processes.
    """

    def __init__(
        self, path: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # which one is open
        self._members: Members | None = None
        self._me = 0
        self._name = secrets.token_hex(8)

    @property
    def name(self) -> str:
        """Of the file: the host's, to all hosts."""
        return self._attempt(self._read_name)

    def turn(
        self,
        limits: Limits,
        asks: Sequence[Ask],
        held: int,
        back: int = 0,
        *,
        debt: float = -math.inf,
    ) -> Turn:
        """See `Book`. `debt` is by how many seconds the account is known to have been
        spent ahead, elsewhere."""
        return self._attempt(lambda: self._turn(limits, asks, held, back, debt))

    def _attempt(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (OSError, sqlite3.Error) as exc:
            if self._path is None:
                raise
            logger.warning(
                "this process counts its sessions alone, as the file that the host's"
                " processes share can't be used: %s",
                exc,
            )
            self._path = self._db = self._members = None
            return work()

    def _read_name(self) -> str:
        self._ready()
        return self._name

    def _turn(
        self, limits: Limits, asks: Sequence[Ask], held: int, back: int, debt: float
    ) -> Turn:
        with self._transaction() as db:
            now = self._clock()
            self._bury_the_dead(db)
            me = self._me
            db.execute("REPLACE INTO members VALUES (?, ?)", (me, held))
            db.execute("DELETE FROM waiting WHERE member = ?", (me,))
            db.executemany(
                "INSERT INTO waiting VALUES (?, ?, ?, ?)",
                [(me, *ask, now + FORGOTTEN_SECONDS) for ask in asks],
            )
            (spent,) = db.execute("SELECT spent FROM account").fetchone()
            (total,) = db.execute("SELECT sum(held) FROM members").fetchone()
            ranks = [rank for (rank,) in db.execute(RANKS, {"me": me, "now": now})]
            spent = max(spent, now + debt) - back * limits.interval
            decision = limits.decide(ranks, spent, total, now)
            going = decision.admitted
            db.executemany(
                "DELETE FROM waiting WHERE member = ? AND came = ?",
                [(me, ask.came) for ask in asks[:going]],
            )
            db.execute("REPLACE INTO members VALUES (?, ?)", (me, held + going))
            db.execute("UPDATE account SET spent = ?", (decision.spent,))
        if going == len(asks) or self._path is None:
            return Turn(going, decision.wait)
        return Turn(going, look_again(decision.wait, ranks[going] - going))

    def _bury_the_dead(self, db: sqlite3.Connection) -> None:
        if self._members is None:
            return
        for (number,) in db.execute("SELECT number FROM members").fetchall():
            if number != self._me and self._members.is_dead(number):
                db.execute("DELETE FROM members WHERE number = ?", (number,))
                db.execute("DELETE FROM waiting WHERE member = ?", (number,))

    # ---- the file ----

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._ready()
        db.execute("BEGIN IMMEDIATE")
        with db:  # commits, or rolls back
            yield db

    def _ready(self) -> sqlite3.Connection:
        """The file, open, and this process among its members."""
        if self._db is not None and (self._path is None or self._is_there(self._path)):
            return self._db
        if self._path is None:
            db = _connect(":memory:")
            _create(db, self._name)
        else:
            with _alone(self._path.parent):  # SQLite can't create in peace otherwise
                db = _connect(str(self._path))
                db.execute("PRAGMA journal_mode = WAL")
                if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                    _create(db, secrets.token_hex(8))
                (self._name,) = db.execute("SELECT name FROM account").fetchone()
                self._join(db, self._path)
        self._db = db
        return db

    def _is_there(self, path: Path) -> bool:
        """Whether the open file is still the one that others find."""
        assert self._members is not None
        self._members.touch()
        try:
            return _identity(path) == self._file
        except FileNotFoundError:
            return False

    def _join(self, db: sqlite3.Connection, path: Path) -> None:
        self._file = _identity(path)
        self._members = members_of(path.with_suffix(f".{self._name}"))
        taken = {number for (number,) in db.execute("SELECT number FROM members")}
        self._me = next(
            number
            for number in itertools.count(1)
            if number not in taken and self._members.join(number)
        )
        db.execute("INSERT INTO members VALUES (?, 0)", (self._me,))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _connect(path: str) -> sqlite3.Connection:
    # Transactions are begun by hand. Nothing here outlives the machine's next start.
    db = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    db.execute("PRAGMA synchronous = OFF")
    return db


def _create(db: sqlite3.Connection, name: str) -> None:
    row = f"INSERT INTO account VALUES (0, '{name}');"
    db.executescript(f"BEGIN; {SCHEMA} {row} COMMIT;")


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """While no other process is here."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def host_book(host: str, account: str) -> HostBook:
    """The book of all processes of this host and user for that account."""
    try:
        return HostBook(shared_directory() / file_name(host, account))
    except OSError as exc:
        logger.warning(
            "this process counts its sessions alone, as there is no directory that the"
            " host's processes could share: %s",
            exc,
        )
        return HostBook(None)
