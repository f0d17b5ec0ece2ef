"""The tables of the index's file, and how a file of an older release becomes one of this."""

from __future__ import annotations

#: What PRAGMA user_version says. A release reads files of its own and of lower numbers.
VERSION = 2

#: The statements that lead from each version to the next one.
#:
#: Times are milliseconds since 1970, UTC, except those of ``watches``, which are of the boot clock.
#: Paths are bytes, and names are UTF-8 in which surrogates may stand. Numbers of inodes are signed.
#: The marks of a file are in pieces, whose ids are those of the file times 2^24 and a number; those
#: of the last minute are in the journal, in which a file has the number that ``begun`` tells.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE boots (id INTEGER PRIMARY KEY, boot TEXT NOT NULL UNIQUE)",
        (
            "CREATE TABLE watches (boot INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT"
            " NULL, least INTEGER NOT NULL, most INTEGER NOT NULL, PRIMARY KEY (boot, since))"
            " WITHOUT ROWID"
        ),
        (
            "CREATE TABLE logs (id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL UNIQUE,"
            " driver BLOB NOT NULL, uuid BLOB, name BLOB, first_at INTEGER NOT NULL,"
            " opened_at INTEGER, closed_at INTEGER, inode INTEGER NOT NULL,"
            " end INTEGER NOT NULL, birth TEXT NOT NULL)"
        ),
        # (no id is given away again: a piece that is left over belongs to no other file)
        (
            "CREATE TABLE files (id INTEGER PRIMARY KEY AUTOINCREMENT, birth TEXT NOT NULL,"
            " file_system TEXT NOT NULL, log INTEGER NOT NULL, UNIQUE (birth, file_system))"
        ),
        "CREATE INDEX files_of_log ON files (log)",
        "CREATE TABLE marks (id INTEGER PRIMARY KEY, marks BLOB NOT NULL)",
        (
            "CREATE TABLE journal (id INTEGER PRIMARY KEY, process TEXT NOT NULL,"
            " boot INTEGER NOT NULL, marks BLOB NOT NULL)"
        ),
        "CREATE TABLE begun (file INTEGER PRIMARY KEY, number INTEGER NOT NULL)",
        (
            "CREATE TABLE openings (id INTEGER PRIMARY KEY, log INTEGER NOT NULL, file INTEGER,"
            " inode INTEGER NOT NULL, start INTEGER NOT NULL, birth TEXT NOT NULL,"
            " file_system TEXT NOT NULL, opened_at INTEGER NOT NULL, driver BLOB NOT NULL,"
            " uuid BLOB, name BLOB,"
            " closed_at INTEGER, end_inode INTEGER, end INTEGER, end_birth TEXT)"
        ),
        "CREATE INDEX openings_of_log ON openings (log)",
        "CREATE INDEX openings_of_file ON openings (file)",
        (
            "CREATE TABLE events (id INTEGER PRIMARY KEY, log INTEGER NOT NULL, file INTEGER,"
            " inode INTEGER NOT NULL, place INTEGER NOT NULL, birth TEXT NOT NULL,"
            " at INTEGER NOT NULL, kind TEXT NOT NULL, bytes INTEGER)"
        ),
        "CREATE INDEX events_of_log ON events (log)",
        "CREATE INDEX events_of_file ON events (file)",
    ),
    (
        (
            "CREATE TABLE consumers (consumer TEXT NOT NULL, path BLOB NOT NULL, inode INTEGER,"
            " place INTEGER, birth TEXT, unread INTEGER NOT NULL, unread_before INTEGER NOT NULL,"
            " at INTEGER, PRIMARY KEY (path, consumer)) WITHOUT ROWID"
        ),
    ),
)

assert len(STEPS) == VERSION
