"""Runs the same steps in two directories and stops at the first difference.

    executor.py REFERENCE MOUNT [--as-is]  < steps

The first line of standard input is a JSON list of steps (`calls.py`); each may carry "as", the user
who takes it, unless --as-is. After every step the results, the attributes of everything in both
trees and of what is open, and the file offsets must be the same; times must have moved alike, and be equal
where they were set. A step {"op": "zero", ...} is printed as a line of JSON, and goes on when a line
comes back. The last line is {"difference": null} or what differs and at which step.
"""

import json
import os
import stat
import sys
import time

from calls import Side, become

# A time that nobody set: within this of now.
RECENT_S = 100_000
READ_AT_MOST = 4 << 20


class Difference(Exception):
    pass


class Watched(Side):
    """A side that remembers the times of every inode, to tell which of them moved."""

    def __init__(self, root):
        super().__init__(root)
        self.times = {}

    def describe(self, status):
        now = time.time()
        moved = []
        before = self.times.get(status.st_ino)
        after = (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
        # Reads of what the kernel has in memory move no access times of FUSE: those are looked at where they are set.
        for i, letter in enumerate("amc"):
            if letter == "a":
                continue
            if before is None:
                moved.append(letter + "?")
            elif after[i] != before[i]:
                moved.append(letter)
        set_times = [ns for ns in after[1:] if abs(ns / 1e9 - now) > RECENT_S]
        is_directory = stat.S_ISDIR(status.st_mode)
        # The kernel moves no times of FUSE's FIFOs when something goes through them: what was set stays.
        if stat.S_ISFIFO(status.st_mode):
            moved, set_times = [], []
        return {
            "mode": oct(status.st_mode),
            "nlink": status.st_nlink,
            "owner": [status.st_uid, status.st_gid],
            "size": None if is_directory else status.st_size,
            "rdev": status.st_rdev,
            "moved": "".join(moved),
            "set": set_times,
        }, (status.st_ino, after)

    def observe(self):
        """Everything that can be seen, by name; the times are remembered for the next look."""
        seen, inodes, fresh = {}, {}, {}

        def look(name, status):
            described, (inode, times) = self.describe(status)
            described["same as"] = inodes.setdefault(inode, name)
            seen[name] = described
            fresh[inode] = times

        def walk(path, name):
            try:
                with os.scandir(path) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                seen[name + "/"] = {"listing": error.errno}
                return
            for entry in entries:
                below = name + "/" + entry.name.decode("latin-1")
                try:
                    status = os.lstat(entry.path)
                except OSError as error:
                    seen[below] = {"lstat": error.errno}
                    continue
                if status.st_ino != entry.inode():
                    seen[below + " (d_ino)"] = {"wrong": True}
                look(below, status)
                if stat.S_ISDIR(status.st_mode):
                    walk(entry.path, below)

        look("", os.lstat(self.root))
        walk(self.root, "")
        for slot, fd in self.files.items():
            look("@%d" % slot, os.fstat(fd))
            try:
                seen["@%d" % slot]["offset"] = os.lseek(fd, 0, os.SEEK_CUR)
            except OSError as error:
                seen["@%d" % slot]["offset"] = error.errno
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                seen["@%d" % slot]["offset"] = None
        self.times = fresh
        return seen

    def contents(self):
        """Digest of every regular file, read whole; the times that this moves do not count."""
        found = {}
        for path, _, names in os.walk(self.root):
            for name in names:
                full = os.path.join(path, name)
                try:
                    if stat.S_ISREG(os.lstat(full).st_mode):
                        found[full[len(self.root) :].decode("latin-1")] = self.read_whole(full)
                except PermissionError:
                    found[full[len(self.root) :].decode("latin-1")] = "denied"
        return found

    def read_whole(self, path):
        from calls import digest

        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            head = os.pread(fd, READ_AT_MOST, 0)
            tail = os.pread(fd, READ_AT_MOST, max(0, size - READ_AT_MOST))
            self.assert_no_hole_over_data(fd, head, path)
            return digest(head) + digest(tail)
        finally:
            os.close(fd)

    def assert_no_hole_over_data(self, fd, head, path):
        at = 0
        while at < len(head):
            try:
                data = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                data = len(head)
            if head[at:data].strip(b"\0"):
                raise Difference(["a hole is reported where data is", path.decode("latin-1"), at, data])
            if data >= len(head):
                return
            at = os.lseek(fd, data, os.SEEK_HOLE)


def compare(what, reference, zero):
    if reference == zero:
        return
    if isinstance(reference, dict) and isinstance(zero, dict):
        keys = [key for key in sorted(set(reference) | set(zero)) if reference.get(key) != zero.get(key)]
        what = [*what, *keys[:3]] if len(keys) > 1 else [*what, keys[0]]
        reference = {key: reference.get(key) for key in keys[:3]}
        zero = {key: zero.get(key) for key in keys[:3]}
    raise Difference({"what": what, "reference": reference, "zero": zero})


def ask(step):
    print(json.dumps({"zero": step["what"]}), flush=True)
    answer = sys.stdin.readline().strip()
    if answer != "done":
        raise Difference(["zero " + step["what"], answer])


def run(steps, sides, switch):
    reference, zero = sides
    for number, step in enumerate(steps):
        try:
            if step["op"] == "zero":
                if step["what"] == "remount":
                    for side in sides:
                        side.close_all()
                    os.chdir("/")
                ask(step)
            elif step["op"] == "contents":
                compare(["contents"], reference.contents(), zero.contents())
            else:
                if switch:
                    become(step.get("as", 0))
                try:
                    results = [side.call(step) for side in sides]
                finally:
                    if switch:
                        become(0)
                compare(["result"], *results)
                if "expect" in step and results[0] != step["expect"]:
                    raise Difference({"expected": step["expect"], "both": results[0]})
            mask = os.umask(0)
            os.umask(mask)
            compare(["attributes"], reference.observe(), zero.observe())
        except Difference as difference:
            return {"step": number, "differs": difference.args[0]}
    return None


def main():
    steps = json.loads(sys.stdin.readline())
    sides = [Watched(sys.argv[1]), Watched(sys.argv[2])]
    os.umask(0o022)
    for side in sides:
        side.observe()
    difference = run(steps, sides, "--as-is" not in sys.argv)
    for side in sides:
        side.close_all()
    print(json.dumps({"difference": difference}), flush=True)


main()
