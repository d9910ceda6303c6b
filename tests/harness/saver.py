"""A program that saves files in all the ways there are, and one that tells whole versions from mixtures.

    saver.py run DIR LOG SEED   saves until it meets an error or is ended
    saver.py look DIR           one JSON object: what lies under each name

Each content names the file and a number that only grows, so whatever comes back can be told: which
version it is, and whether it is all of it. LOG gets a line `TIME begin|done NAME NUMBER` before and
after each change (milliseconds since 1970; number 0: deleted). Names that begin with `renamed` are
saved by writing a new file, fsync, and rename; `written` ones in place, without a word; `new` ones are
made once and perhaps deleted.
"""

import json
import os
import random
import sys
import time

KIB = 1 << 10
MIB = 1 << 20
HEADER = 64
IN_PLACE = 5 * MIB + 77


def content(name, number):
    source = random.Random(f"{name} {number}")
    if name.startswith("written"):
        size = IN_PLACE
    else:
        size = source.choice([1, 20 * KIB, 90 * KIB, 300 * KIB, 300 * KIB, 5 * MIB])
    return f"{name} {number}".encode().ljust(HEADER) + source.randbytes(size)


def look(root):
    found = {}
    for entry in sorted(os.listdir(root)):
        with open(f"{root}/{entry}", "rb") as file:
            data = file.read()
        name, _, number = data[:HEADER].decode("latin-1").strip().partition(" ")
        whole = number.isdigit() and data == content(name, int(number))
        found[entry] = {
            "of": name,
            "number": int(number) if number.isdigit() else 0,
            "whole": whole,
            "size": len(data),
        }
    print(json.dumps(found))


def run(root, log, seed):
    source = random.Random(seed)
    lines = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    number = 0
    if os.path.exists(log):
        with open(log) as file:
            number = max([int(line.split()[3]) for line in file], default=0)

    def note(what, name, number):
        os.write(lines, f"{int(time.time() * 1000)} {what} {name} {number}\n".encode())

    made = [name for name in os.listdir(root) if name.startswith("new")]
    while True:
        number += 1
        what = source.random()
        if what < 0.5:
            name = f"renamed{source.randrange(6)}"
            note("begin", name, number)
            with open(f"{root}/{name}~", "wb") as file:
                file.write(content(name, number))
                file.flush()
                os.fsync(file.fileno())
            os.rename(f"{root}/{name}~", f"{root}/{name}")
        elif what < 0.7:
            name = f"written{source.randrange(3)}"
            note("begin", name, number)
            descriptor = os.open(f"{root}/{name}", os.O_WRONLY | os.O_CREAT, 0o644)
            data = content(name, number)
            for at in range(0, len(data), 700 * KIB):
                os.pwrite(descriptor, data[at:at + 700 * KIB], at)
            os.close(descriptor)
        elif what < 0.9 or not made:
            name = f"new{number}"
            note("begin", name, number)
            with open(f"{root}/{name}", "wb") as file:
                file.write(content(name, number))
            made.append(name)
        else:
            name = made.pop(source.randrange(len(made)))
            note("begin", name, 0)
            os.unlink(f"{root}/{name}")
            note("done", name, 0)
            continue
        note("done", name, number)
        time.sleep(source.random() * 0.05)


def main():
    command, *rest = sys.argv[1:]
    if command == "run":
        run(*rest)
    elif command == "look":
        look(*rest)
    else:
        sys.exit(f"unknown command {command}")


main()
