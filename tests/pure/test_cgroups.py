"""Which control group a process is in to systemd, with each kind of cgroups."""

from __future__ import annotations

from pathlib import Path

from easyapache.agent.httpd.cgroups import joins, service_group, trees

UNIFIED = trees("42 98 0:38 / /sys/fs/cgroup rw,nosuid shared:13 - cgroup2 cgroup rw,nsdelegate\n")
LEGACY = trees(
    "25 24 0:21 / /sys/fs/cgroup ro shared:8 - tmpfs tmpfs ro,mode=755\n"
    "26 25 0:22 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd\n"
    "27 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
    "28 25 0:24 / /sys/fs/cgroup/memory rw shared:11 - cgroup cgroup rw,memory\n"
)
HYBRID = [
    *trees("29 25 0:25 / /sys/fs/cgroup/unified rw shared:12 - cgroup2 cgroup rw\n"),
    *LEGACY,
]
HTTPD = (
    "9:name=systemd:/system.slice/httpd.service\n"
    "4:memory:/system.slice/httpd.service\n3:cpu,cpuacct:/\n0::/\n"
)
AGENT = "9:name=systemd:/system.slice/change.service\n4:memory:/\n3:cpu,cpuacct:/\n0::/\n"


def test_the_group_of_a_service_is_that_of_systemds_own_tree() -> None:
    """With the older cgroups the last line, of cgroup v2, says ``/`` of every process."""
    assert service_group(HTTPD, LEGACY) == "/system.slice/httpd.service"
    assert service_group(HTTPD, HYBRID) == "/system.slice/httpd.service"


def test_trees_that_are_not_mounted_do_not_count() -> None:
    """A container on another kind of machine lists the trees of that machine."""
    memberships = "9:name=systemd:/\n4:memory:/\n0::/system.slice/httpd.service\n"
    assert service_group(memberships, UNIFIED) == "/system.slice/httpd.service"
    assert service_group(memberships, []) == ""


def test_every_group_in_which_two_processes_differ_is_joined() -> None:
    assert joins(HTTPD, AGENT, HYBRID) == [
        Path("/sys/fs/cgroup/systemd/system.slice/httpd.service/cgroup.procs"),
        Path("/sys/fs/cgroup/memory/system.slice/httpd.service/cgroup.procs"),
    ]
    assert joins(HTTPD, HTTPD, HYBRID) == []
    assert joins("0::/a\n", "0::/b\n", UNIFIED) == [Path("/sys/fs/cgroup/a/cgroup.procs")]


def test_a_mount_that_shows_a_part_of_its_tree_is_found_in() -> None:
    part = trees("1 2 0:3 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
    found = joins("4:memory:/docker/x/web\n", "4:memory:/docker/x\n", part)
    assert found == [Path("/sys/fs/cgroup/memory/web/cgroup.procs")]
