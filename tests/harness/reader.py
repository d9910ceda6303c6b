"""Reads one file in a way that a test asks for, through read(2) itself: Python's own functions try again
after EINTR, and so would hide what must never happen.

    reader.py plain FILE    reads it all; prints its SHA-256, or `errno NAME`
    reader.py alarm FILE    the same, while a handled SIGALRM comes every 10 ms; prints how often, too
"""

import ctypes
import errno
import hashlib
import os
import signal
import sys

libc = ctypes.CDLL(None, use_errno=True)
alarms = 0


def count(_signal, _frame):
    global alarms
    alarms += 1


def read_all(path):
    descriptor = libc.open(os.fsencode(path), os.O_RDONLY)
    if descriptor < 0:
        return f"errno {errno.errorcode[ctypes.get_errno()]}"
    buffer = ctypes.create_string_buffer(1 << 16)
    sha = hashlib.sha256()
    while True:
        got = libc.read(descriptor, buffer, len(buffer))
        if got < 0:
            return f"errno {errno.errorcode[ctypes.get_errno()]}"
        if got == 0:
            return sha.hexdigest()
        sha.update(buffer.raw[:got])


mode, path = sys.argv[1:]
if mode == "alarm":
    signal.signal(signal.SIGALRM, count)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
result = read_all(path)
signal.setitimer(signal.ITIMER_REAL, 0)
print(result)
if mode == "alarm":
    print(alarms)
