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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from .book import FORGOTTEN_SECONDS, MOMENT, Ask, Turn, look_again
from .files import Members, file_name, members_of, shared_directory
from .limits import WINDOW_SECONDS, Limits

logger = logging.getLogger("aai_stream")

T = TypeVar("T")

SCHEMA = """
    CREATE TABLE file (name TEXT NOT NULL, hosts INTEGER NOT NULL);
    CREATE TABLE members (number INTEGER PRIMARY KEY, held INTEGER NOT NULL);
    CREATE TABLE waiting (
        member INTEGER NOT NULL, came TEXT NOT NULL, urgency REAL NOT NULL,
        forgotten_at REAL NOT NULL, PRIMARY KEY (member, came)
    ) WITHOUT ROWID;
    CREATE TABLE begun (
        at REAL NOT NULL, member INTEGER, came TEXT NOT NULL, UNIQUE (member, came)
    );
    CREATE INDEX begun_at ON begun (at);
"""
"""Who began a session may be no `member` any more."""

RANKS = """
    SELECT rank FROM (
        SELECT member, row_number() OVER (ORDER BY urgency DESC, came, member) - 1
            AS rank
        FROM waiting WHERE member = :me OR forgotten_at > :now
    ) WHERE member = :me ORDER BY rank
"""

USED = """
    SELECT EXISTS (SELECT 1 FROM members WHERE held > 0)
        OR EXISTS (SELECT 1 FROM begun WHERE at > ?)
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
        begun: Mapping[str, float],
    ) -> Turn:
        """See `Book`."""
        return self._attempt(lambda: self._turn(limits, asks, held, begun))

    def is_used(self) -> bool:
        """Whether a process of this host has a session, or began one within the
        window."""
        return self._attempt(self._is_used)

    @property
    def hosts(self) -> int:
        """How many hosts the account has, as a process of this one saw last."""
        query = "SELECT hosts FROM file"
        return self._attempt(lambda: int(self._ready().execute(query).fetchone()[0]))

    def saw(self, hosts: int) -> None:
        """The account has so many hosts."""
        update = "UPDATE file SET hosts = ?"
        self._attempt(lambda: self._ready().execute(update, (hosts,)))

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

    def _is_used(self) -> bool:
        with self._transaction() as db:
            self._bury_the_dead(db)
            (used,) = db.execute(USED, (self._clock() - WINDOW_SECONDS,)).fetchone()
        return bool(used)

    def _turn(
        self,
        limits: Limits,
        asks: Sequence[Ask],
        held: int,
        begun: Mapping[str, float],
    ) -> Turn:
        with self._transaction() as db:
            now = self._clock()
            self._bury_the_dead(db)
            self._state(db, asks, held, begun, now)
            me = self._me
            (count,) = db.execute("SELECT count(*) FROM begun").fetchone()
            (total,) = db.execute("SELECT sum(held) FROM members").fetchone()
            ranks = [rank for (rank,) in db.execute(RANKS, {"me": me, "now": now})]
            going, leaving = limits.decide(ranks, count, total)
            for ask in asks[:going]:
                key = (me, ask.came)
                db.execute("DELETE FROM waiting WHERE member = ? AND came = ?", key)
                db.execute("REPLACE INTO begun VALUES (?, ?, ?)", (now, *key))
            db.execute("REPLACE INTO members VALUES (?, ?)", (me, held + going))
            until = _left(db, leaving, now)
        if going == len(asks):
            return Turn(going, math.inf, total + going)
        if self._path is None:  # nobody else leaves, or ends
            return Turn(going, until + MOMENT, total + going)
        return Turn(going, look_again(until, ranks[going] - going), total + going)

    def _state(
        self,
        db: sqlite3.Connection,
        asks: Sequence[Ask],
        held: int,
        begun: Mapping[str, float],
        now: float,
    ) -> None:
        """Write down what this process has to say."""
        me = self._me
        db.execute("REPLACE INTO members VALUES (?, ?)", (me, held))
        db.execute("DELETE FROM waiting WHERE member = ?", (me,))
        db.executemany(
            "INSERT INTO waiting VALUES (?, ?, ?, ?)",
            [(me, *ask, now + FORGOTTEN_SECONDS) for ask in asks],
        )
        rows = db.execute("SELECT came FROM begun WHERE member = ?", (me,))
        known = {came for (came,) in rows}
        db.executemany(
            "DELETE FROM begun WHERE member = ? AND came = ?",
            [(me, came) for came in known - begun.keys()],
        )
        db.executemany(
            "INSERT INTO begun VALUES (?, ?, ?)",
            [(now - begun[came], me, came) for came in begun.keys() - known],
        )
        db.execute("DELETE FROM begun WHERE at <= ?", (now - WINDOW_SECONDS,))

    def _bury_the_dead(self, db: sqlite3.Connection) -> None:
        if self._members is None:
            return
        for (number,) in db.execute("SELECT number FROM members").fetchall():
            if number != self._me and self._members.is_dead(number):
                dead = (number,)
                db.execute("DELETE FROM members WHERE number = ?", dead)
                db.execute("DELETE FROM waiting WHERE member = ?", dead)
                db.execute("UPDATE begun SET member = NULL WHERE member = ?", dead)

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
                (self._name,) = db.execute("SELECT name FROM file").fetchone()
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


def _left(db: sqlite3.Connection, leaving: float, now: float) -> float:
    """Seconds until so many have left the window; of those that are yet to begin, each
    stays for the whole of it."""
    if not 0 < leaving < math.inf:
        return leaving
    last = "SELECT at FROM begun ORDER BY at LIMIT 1 OFFSET ?"
    row = db.execute(last, (int(leaving) - 1,)).fetchone()
    return WINDOW_SECONDS if row is None else float(row[0]) + WINDOW_SECONDS - now


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
    row = f"INSERT INTO file VALUES ('{name}', 1);"
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
