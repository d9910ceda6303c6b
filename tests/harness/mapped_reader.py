"""One program that uses files in every way at once, told what to do line by line. Answers each line with
`ok …` or `error ERRNO`.

    open NAME FILE ro|rw|wo|append|trunc|direct     a descriptor under a name
    close NAME
    map NAME FD shared|private|write                a mapping of the whole file
    unmap NAME
    read FD OFFSET LENGTH                           its SHA-256 and length
    look MAP OFFSET LENGTH                          the same of a mapping
    write FD OFFSET TEXT
    store MAP OFFSET TEXT
    fsync FD
"""

import errno
import hashlib
import mmap
import os
import sys

FLAGS = {
    "ro": os.O_RDONLY,
    "rw": os.O_RDWR,
    "wo": os.O_WRONLY,
    "append": os.O_WRONLY | os.O_APPEND,
    "trunc": os.O_RDWR | os.O_TRUNC,
    "direct": os.O_RDONLY | os.O_DIRECT,
}
files = {}
maps = {}


def digest(data):
    return f"{hashlib.sha256(data).hexdigest()} {len(data)}"


def run(what, *args):
    if what == "open":
        files[args[0]] = os.open(args[1], FLAGS[args[2]])
    elif what == "close":
        os.close(files.pop(args[0]))
    elif what == "map":
        kinds = {
            "shared": (mmap.MAP_SHARED, mmap.PROT_READ),
            "private": (mmap.MAP_PRIVATE, mmap.PROT_READ),
            "write": (mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
        }
        flags, protection = kinds[args[2]]
        maps[args[0]] = mmap.mmap(files[args[1]], 0, flags=flags, prot=protection)
    elif what == "unmap":
        maps.pop(args[0]).close()
    elif what == "read":
        # A page of its own: O_DIRECT asks for aligned memory.
        with mmap.mmap(-1, int(args[2])) as buffer:
            count = os.preadv(files[args[0]], [buffer], int(args[1]))
            return digest(buffer[:count])
    elif what == "look":
        return digest(maps[args[0]][int(args[1]) : int(args[1]) + int(args[2])])
    elif what == "write":
        os.pwrite(files[args[0]], args[2].encode(), int(args[1]))
    elif what == "store":
        at = int(args[1])
        maps[args[0]][at : at + len(args[2])] = args[2].encode()
    elif what == "fsync":
        os.fsync(files[args[0]])
    return ""


for line in sys.stdin:
    try:
        print("ok", run(*line.split()), flush=True)
    except OSError as error:
        print("error", errno.errorcode[error.errno], flush=True)
