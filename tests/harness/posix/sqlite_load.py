"""Works on a SQLite database as programs do: transactions, rollbacks, several connections.

    sqlite_load.py fill|change|check FILE JOURNAL_MODE

`check` prints a digest of all rows, after an integrity check.
"""

import hashlib
import random
import sqlite3
import sys

what, path, mode = sys.argv[1:]
database = sqlite3.connect(path, timeout=30, isolation_level=None)
assert database.execute("PRAGMA journal_mode=" + mode).fetchone() == (mode,)
noise = random.Random(what)

if what == "fill":
    database.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB)")
    for batch in range(10):
        database.execute("BEGIN")
        for i in range(200):
            number = batch * 200 + i
            database.execute("INSERT INTO item VALUES (?, ?, ?)", (number, f"n{number}", noise.randbytes(2000)))
        database.execute("ROLLBACK" if batch == 7 else "COMMIT")
elif what == "change":
    other = sqlite3.connect(path, timeout=30, isolation_level=None)
    for i in range(20):
        connection = database if i % 2 else other
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE item SET data = ? WHERE id % 20 = ?", (noise.randbytes(1500), i))
        connection.execute("DELETE FROM item WHERE id % 50 = ?", (i,))
        connection.execute("COMMIT")
    other.close()
else:
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = database.execute("SELECT * FROM item ORDER BY id").fetchall()
    print(len(rows), hashlib.sha256(repr(rows).encode()).hexdigest())
database.close()
