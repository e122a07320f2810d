"""``ea4-mpm whm``: the panel in WHM's menu, and the tickets that open it from there.

It installs into WHM a CGI program, an icon, a driver that makes opening the panel a privilege for
resellers, and the entry itself, which WHM's own ``register_appconfig`` creates. Source: cPanel's
Guide to WHM Plugins (AppConfig; The ACL Object Perl Module; Plugin Files).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from easyapache.installed import universal_hooks
from easyapache.installed.layout import (
    Layout,
    Refused,
    env_text,
    manage,
    own,
    read_env,
    run,
    write,
)

SOURCE = Path(__file__).resolve().parent / "data" / "whm"
NAME = "ea4mpm"
PRIVILEGES = ("all", "own")
"""A user's privilege in WHM: all, or this plugin's."""
_REGISTER_LIMIT = 120.0

Report = Callable[[str], None]


class Whm:
    """Where things are in WHM; ``layout.root`` is ``/``, and another folder in tests."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.cpanel = layout.root / "usr/local/cpanel"
        docroot = self.cpanel / "whostmgr/docroot"
        driver = self.cpanel / "Cpanel/Config/ConfigObj/Driver"
        self.cgi = docroot / "cgi/addons" / NAME / "index.cgi"
        self.icon = docroot / "addon_plugins" / f"{NAME}.png"
        self.driver, self.meta = driver / "EA4MPM.pm", driver / "EA4MPM/META.pm"
        self.registered = layout.root / "var/cpanel/apps" / f"{NAME}.conf"
        self.entry = layout.config / "whm" / f"{NAME}.conf"
        self.settings = layout.config / "whm" / "whm.env"

    def program(self, name: str) -> Path:
        return self.cpanel / "bin" / name

    @property
    def is_here(self) -> bool:
        return self.program("register_appconfig").exists()

    @property
    def is_installed(self) -> bool:
        return any(path.exists() for path in (*self.placed, self.registered))

    @property
    def placed(self) -> tuple[Path, ...]:
        """Every file that ``install`` writes itself."""
        return (self.cgi, self.icon, self.driver, self.meta, self.entry, self.settings)

    @property
    def panel(self) -> str:
        """The address of the panel that the entry opens; "" where there is none."""
        return read_env(self.settings).get("PANEL", "")

    def texts(self) -> dict[Path, tuple[str, int]]:
        """What each text file holds, and its mode. The program is root's alone: WHM runs it as
        root."""
        command = self.layout.root / "usr/sbin/ea4-mpm"
        perl = self.cpanel / "3rdparty/bin/perl"
        program = (SOURCE / "index.cgi").read_text(encoding="utf-8")
        for mark, value in (("@PERL@", perl), ("@CPANEL@", self.cpanel), ("@COMMAND@", command)):
            program = program.replace(mark, str(value))
        return {
            self.cgi: (program, 0o700),
            self.driver: ((SOURCE / "EA4MPM.pm").read_text(encoding="utf-8"), 0o644),
            self.meta: ((SOURCE / "META.pm").read_text(encoding="utf-8"), 0o644),
            self.entry: ((SOURCE / "ea4mpm.conf").read_text(encoding="utf-8"), 0o644),
        }


# -- the key of this server --------------------------------------------------------------------


def ensure_key(layout: Layout) -> None:
    """Create the key of this server's agent where there is none. It never leaves this machine, and
    only root can read it."""
    path = layout.agent_key
    if path.exists():
        own(path, 0o600, os.getegid(), os.geteuid())
        return
    from easyapache import tickets

    write(path, tickets.new_key(), 0o600, os.getegid())
    own(path, 0o600, os.getegid(), os.geteuid())


def key_of(layout: Layout) -> str:
    """The private key. Raises Refused where it is missing, or readable by anyone but root."""
    path = layout.agent_key
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}. Run ea4-mpm setup.") from error
    with os.fdopen(handle, encoding="ascii", errors="replace") as file:
        found = os.fstat(handle)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise Refused(
                f"{path} can be read by other accounts than root, so it may be known to others. "
                "Remove it, run ea4-mpm setup, and register the new key with the panel."
            )
        return file.read(10_000)


def public_key(layout: Layout) -> str:
    """Raises Refused."""
    from easyapache import tickets

    try:
        return tickets.public_key(key_of(layout))
    except tickets.BadKey as error:
        raise Refused(f"{layout.agent_key}: {error}.") from error


def ticket(layout: Layout, user: str, privilege: str) -> str:
    """Two lines: the address of the panel, and a ticket that opens it for this WHM user. Raises
    Refused."""
    from easyapache import tickets

    whm = Whm(layout)
    server = read_env(layout.agent_env).get("EA4_SERVER", "")
    if not (whm.panel and server):
        raise Refused("WHM has no entry for the panel. Run ea4-mpm whm install.")
    try:
        made = tickets.signed(
            key_of(layout),
            server=server,
            user=user,
            root=privilege == "all",
            audience=whm.panel,
            now=time.time(),
        )
    except (tickets.BadKey, tickets.BadTicket) as error:
        raise Refused(f"No ticket can be signed: {error}.") from error
    return f"{whm.panel}\n{made}"


# -- in WHM and out of it ----------------------------------------------------------------------


def install(layout: Layout, panel: str | None, report: Report) -> None:
    """Add the panel to WHM's menu. Safe to repeat: existing files are kept, and the entry is only
    registered again if it is missing or different. Raises Refused, without having changed WHM."""
    whm = Whm(layout)
    if not whm.is_here:
        raise Refused(
            "WHM is not installed on this machine: there is no "
            f"{whm.program('register_appconfig')}."
        )
    if not layout.agent_is_set_up:
        raise Refused("No agent is set up on this machine. Run ea4-mpm setup first.")
    address = _address(layout, whm, panel)
    ensure_key(layout)
    key = public_key(layout)
    entry_before = _content(whm.entry)
    for folder in (whm.cgi.parent, whm.meta.parent, whm.icon.parent, whm.entry.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for path, (text, mode) in whm.texts().items():
        write(path, text, mode, os.getegid())
    _write_icon(whm.icon)
    settings = env_text({"PANEL": address}, "Written by ea4-mpm whm install.")
    write(whm.settings, settings, 0o600, os.getegid())
    if not whm.registered.exists() or entry_before != _content(whm.entry):
        report("Registering the entry with WHM, which restarts cpsrvd")
        run(
            [str(whm.program("register_appconfig")), str(whm.entry)],
            limit=_REGISTER_LIMIT,
        )
        if not whm.registered.exists():
            raise Refused(
                f"register_appconfig made no {whm.registered}. Run ea4-mpm whm install again, or "
                "ea4-mpm whm remove."
            )
    universal_hooks.install(layout)
    _register_key(layout, address, key, report)
    report(f"WHM » Plugins » EasyApache 4 MPM opens {address}")


def remove(layout: Layout, report: Report) -> None:
    """Take everything out of WHM again, and the hook. Safe to repeat; needs no panel."""
    whm = Whm(layout)
    universal_hooks.remove(layout)
    if not whm.is_installed:
        report("WHM has no entry for the panel.")
        return
    if whm.registered.exists():
        report("Removing the entry from WHM, which restarts cpsrvd")
        run([str(whm.program("unregister_appconfig")), NAME], limit=_REGISTER_LIMIT)
    for path in whm.placed:
        path.unlink(missing_ok=True)
    for folder in (whm.cgi.parent, whm.meta.parent, whm.entry.parent):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if layout.panel_is_set_up:
        server = read_env(layout.agent_env).get("EA4_SERVER", "")
        manage(layout, "mpm", "server", "whm", server, "--remove", check=False)
    report("Removed from WHM.")


def faults(layout: Layout) -> list[str]:
    """The problem of the entry in WHM, if there should be one."""
    whm = Whm(layout)
    found = [f"{path} differs" for path, (text, _) in whm.texts().items() if _content(path) != text]
    if not whm.registered.exists():
        found.append(f"{whm.registered} is missing")
    if not whm.panel:
        found.append(f"{whm.settings} names no panel")
    return found


def _address(layout: Layout, whm: Whm, panel: str | None) -> str:
    """The address of the panel: the one that is named, the one known, the one on this machine."""
    from easyapache import tickets

    own_panel = ""
    if layout.panel_is_set_up:
        settings = read_env(layout.panel_env)
        host = settings["ALLOWED_HOSTS"].split(",")[0]
        port = settings["EA4_LISTEN"].rpartition(":")[2]
        own_panel = settings.get("PANEL_URL") or f"https://{host}:{port}"
    given = panel or whm.panel or own_panel
    if not given:
        raise Refused(
            "The panel is on another machine: ea4-mpm whm install --panel https://panel.example.com"
        )
    address = tickets.origin(given)
    if not address:
        raise Refused(
            f"{given!r} cannot be the address of a panel: https://, its host name and port, "
            "without a path."
        )
    return address


def _register_key(layout: Layout, address: str, key: str, report: Report) -> None:
    """Register this server's public key in the panel: directly if the panel is on this machine,
    else by printing the command to run there."""
    server = read_env(layout.agent_env).get("EA4_SERVER", "")
    arguments = ["mpm", "server", "whm", server, f"--public-key={key}"]
    if layout.panel_is_set_up:
        manage(layout, *arguments)
        return
    report(f"On the panel's machine ({address}), register the public key of this server:")
    report(f"  ea4-mpm {' '.join(arguments)}")


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _write_icon(path: Path) -> None:
    content = (SOURCE / "ea4mpm.png").read_bytes()
    if not path.exists() or path.read_bytes() != content:
        scratch = path.with_name(f".{path.name}.new")
        scratch.write_bytes(content)
        scratch.replace(path)
    own(path, 0o644, os.getegid(), os.geteuid())
