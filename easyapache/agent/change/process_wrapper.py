"""Runs one program to its end in its own session, and records its result.

A script for any Python 3.6 or newer, of the standard library only, started as
``python -I keeper.py [--stay] FOLDER NAME PROGRAM [ARGUMENT ...]``. In FOLDER it leaves

* ``NAME.lock``: held with flock while a keeper runs;
* ``NAME.start``: JSON, written by the program's own process just before it becomes the program.
  Once it exists, the program is never started again;
* ``NAME.out``: the program's output, both streams, byte for byte;
* ``NAME.exit``: JSON with the exit status (negative: the signal), written atomically.

Killing the keeper does not affect the program; only its exit status is lost. On TERM, which systemd
sends to stop its unit, the keeper waits for the program: a shutdown does not interrupt a package
transaction.
"""

import fcntl
import json
import os
import signal
import sys
import time


def start_time(pid):
    # type: (int) -> int
    with open("/proc/%d/stat" % pid) as handle:
        return int(handle.read().rpartition(")")[2].split()[19])


def boot_id():
    # type: () -> str
    with open("/proc/sys/kernel/random/boot_id") as handle:
        return handle.read().strip()


def write_atomically(path, value):
    # type: (str, object) -> None
    """All of it or nothing, and on disk before this returns."""
    scratch = "%s.%d" % (path, os.getpid())
    with open(scratch, "w") as handle:
        json.dump(value, handle)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(scratch, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def become(path, argv, keeper):
    # type: (str, list[str], int) -> None
    """In the child: record the process, then become the program, with the same pid."""
    pid = os.getpid()
    output = os.open(path + ".out", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    write_atomically(
        path + ".start",
        {
            "pid": pid,
            "started": start_time(pid),
            "boot": boot_id(),
            "keeper": keeper,
            "argv": argv,
            "at": time.time(),
        },
    )
    os.closerange(3, 4096)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, ("%s: %s\n" % (argv[0], error.strerror)).encode())
        os._exit(127)


def wait_on(*_):
    # type: (object) -> None
    """On TERM: wait for the program first."""


def keep(folder, name, argv):
    # type: (str, str, list[str]) -> int
    path = os.path.join(os.path.abspath(folder), name)
    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 0  # another keeper is at it
    if os.path.exists(path + ".start") or os.path.exists(path + ".exit"):
        return 0
    keeper = os.getpid()
    # A handler, not SIG_IGN: the program would inherit that, and has its own ways with TERM.
    signal.signal(signal.SIGTERM, wait_on)
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            become(path, argv, keeper)
        finally:
            os._exit(126)
    _, raw = os.waitpid(child, 0)
    status = -os.WTERMSIG(raw) if os.WIFSIGNALED(raw) else os.WEXITSTATUS(raw)
    write_atomically(path + ".exit", {"status": status, "at": time.time()})
    return 0


def main(arguments):
    # type: (list[str]) -> int
    foreground = arguments[:1] == ["--stay"]
    folder, name = arguments[foreground : foreground + 2]
    argv = arguments[foreground + 2 :]
    if not argv:
        sys.stderr.write("process_wrapper: nothing to run\n")
        return 2
    if not foreground:
        # Twice, so that it has init for a parent and no terminal can ever become its own.
        if os.fork():
            return 0
        os.setsid()
        if os.fork():
            os._exit(0)
        # The process that started this one reads our streams to their end: close them now, not
        # when the program has ended.
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os.close(nothing)
    os.chdir("/")
    os.umask(0o022)
    return keep(folder, name, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
