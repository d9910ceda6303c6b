"""Many processes that wait for content, and a look at everybody else meanwhile.

    parked_readers.py read DIR RESULTS    one process per file below DIR: those named mapped-* touch it
                                          through mmap, the others read it; each writes the SHA-256, or
                                          what went wrong, to RESULTS/<name>
    parked_readers.py measure DIR         opens, reads, stats and closes the files of DIR 1000 times;
                                          prints the 99th percentile in milliseconds of each as JSON
"""

import hashlib
import json
import mmap
import os
import sys
import time


def read_one(path, results):
    name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            if name.startswith("mapped-"):
                with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
                    data = mapping[:]
            else:
                data = file.read()
        answer = hashlib.sha256(data).hexdigest()
    except OSError as error:
        answer = str(error)
    with open(f"{results}/.{name}", "w") as file:
        file.write(answer)
    os.rename(f"{results}/.{name}", f"{results}/{name}")


def read(directory, results):
    children = []
    for name in sorted(os.listdir(directory)):
        child = os.fork()
        if child == 0:
            read_one(f"{directory}/{name}", results)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def measure(directory):
    samples = {"open": [], "read": [], "stat": [], "close": []}

    def timed(what, action):
        started = time.perf_counter_ns()
        result = action()
        samples[what].append(time.perf_counter_ns() - started)
        return result

    paths = [f"{directory}/{name}" for name in sorted(os.listdir(directory))]
    for i in range(1000):
        path = paths[i % len(paths)]
        descriptor = timed("open", lambda: os.open(path, os.O_RDONLY))
        # Out of the page cache, so that the daemon is asked.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        data = timed("read", lambda: os.pread(descriptor, 4096, 0))
        assert len(data) == 4096, len(data)
        timed("stat", lambda: os.stat(path))
        timed("close", lambda: os.close(descriptor))
    print(json.dumps({what: sorted(times)[989] / 1e6 for what, times in samples.items()}))


command, *arguments = sys.argv[1:]
{"read": read, "measure": measure}[command](*arguments)
