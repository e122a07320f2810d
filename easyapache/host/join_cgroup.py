"""Becomes a program inside a given control group: ``join_cgroup.py PROCS_FILE PROGRAM …``.

Standard library only, any Python 3. systemd finds httpd's new main process through the pid
file only when that process is in the service's own group.
"""

import os
import sys

if __name__ == "__main__":
    with open(sys.argv[1], "w") as procs:
        procs.write("%d\n" % os.getpid())
    os.execvp(sys.argv[2], sys.argv[2:])
