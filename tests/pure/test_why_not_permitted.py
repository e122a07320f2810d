"""What forbids reaching into another process's sockets is named rightly."""

from __future__ import annotations

from easyapache.agent.httpd.sockets import _why_not_permitted

ALL, WITHOUT_PTRACE = "000001ffffffffff", "000001fffff7ffff"


def test_a_missing_capability_is_told_apart_from_a_system_call_filter() -> None:
    assert "CAP_SYS_PTRACE is missing" in _why_not_permitted(
        f"CapEff:\t{WITHOUT_PTRACE}\nSeccomp:\t2\n"
    )
    assert "system call filter" in _why_not_permitted(f"CapEff:\t{ALL}\nSeccomp:\t2\n")
    assert "security module" in _why_not_permitted(f"CapEff:\t{ALL}\nSeccomp:\t0\n")
