"""Reads a large directory over and over while others add and remove names.

    directory_churn.py DIR STEADY SECONDS

DIR holds STEADY names "steady-N" that stay. Every reading must show each of them exactly once, and no
other name twice, unless its name was removed and made again. Prints how many readings there were.
"""

import collections
import multiprocessing
import os
import sys
import time


def churn(directory, number, until):
    made = 0
    while time.monotonic() < until:
        for i in range(20):
            # Names are never used again, so that seeing one twice is a defect.
            with open(f"{directory}/passing-{number}-{made}-{i}", "w"):
                pass
        for i in range(0, 20, 2):
            os.rename(f"{directory}/passing-{number}-{made}-{i}", f"{directory}/moved-{number}-{made}-{i}")
        for i in range(20):
            kind = "moved" if i % 2 == 0 else "passing"
            os.unlink(f"{directory}/{kind}-{number}-{made}-{i}")
        made += 1


def main():
    directory, steady, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    until = time.monotonic() + seconds
    churners = [multiprocessing.Process(target=churn, args=(directory, n, until)) for n in range(2)]
    for process in churners:
        process.start()
    readings = 0
    wanted = {f"steady-{i}" for i in range(steady)}
    while time.monotonic() < until or readings == 0:
        seen = collections.Counter(os.listdir(directory))
        missing = wanted - set(seen)
        twice = [name for name, count in seen.items() if count > 1]
        if missing or twice:
            sys.exit(f"{len(missing)} missing, such as {sorted(missing)[:3]}; twice {twice[:3]}")
        readings += 1
    for process in churners:
        process.join()
        if process.exitcode != 0:
            sys.exit(f"a process that adds and removes ended with {process.exitcode}")
    print(readings)


main()
