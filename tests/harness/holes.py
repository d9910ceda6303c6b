"""Looks for lies about content: prints one line for every file below DIR that has data and shows no
blocks, or whose SEEK_HOLE says `hole` where a byte other than 0 is.

    holes.py stat DIR       only what stat and SEEK_HOLE say, for files in which every byte is data
    holes.py read DIR       compares SEEK_DATA and SEEK_HOLE with the bytes
"""

import os
import sys


def holes(descriptor, size):
    """(from, until) of every hole before the end of the file."""
    position = 0
    while position < size:
        start = os.lseek(descriptor, position, os.SEEK_HOLE)
        if start >= size:
            return
        try:
            position = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError:
            position = size
        yield start, position


mode, root = sys.argv[1:]
for directory, _, names in os.walk(os.fsencode(root)):
    for name in names:
        path = directory + b"/" + name
        status = os.lstat(path)
        if not os.path.isfile(path) or os.path.islink(path) or status.st_size == 0:
            continue
        descriptor = os.open(path, os.O_RDONLY)
        if status.st_blocks == 0:
            if mode == "stat" or os.pread(descriptor, status.st_size, 0).strip(b"\0"):
                print(path, "has data and no blocks")
        for start, until in holes(descriptor, status.st_size):
            if mode == "stat" or os.pread(descriptor, until - start, start).strip(b"\0"):
                print(path, "has data in the hole", start, until)
        os.close(descriptor)
