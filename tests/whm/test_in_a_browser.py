"""From WHM's menu into the panel, in a browser: the program of the plugin runs behind a small
server that hands requests over as cpsrvd does, on another site than the panel."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.panel import Panel
from easyapache.installed import whm as installed
from easyapache.tickets import fingerprint
from tests.browser import faults, sign_in
from tests.whm.stand_in import StandIn, environment

pytestmark = pytest.mark.browser

SESSION = "/cpsess0123456789"
ENTRY = f"{SESSION}/cgi/addons/ea4mpm/index.cgi"


@dataclass
class Cpsrvd:
    """``user`` is who is signed in to WHM; ``address`` is where the entry of the menu leads."""

    whm: StandIn
    user: str = "root"
    address: str = ""

    def answer(self) -> tuple[int, list[tuple[str, str]], bytes]:
        done = subprocess.run(
            [self.whm.program],
            env=environment(self.user, {"cp_security_token": SESSION}),
            capture_output=True,
            timeout=60,
            check=True,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        pairs = [line.partition(": ")[::2] for line in head.decode().split("\r\n")]
        status = int(dict(pairs)["Status"].split()[0])
        return status, [(name, value) for name, value in pairs if name != "Status"], body


@contextmanager
def served(cpsrvd: Cpsrvd) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        seen: ClassVar[list[str]] = []

        def do_GET(self) -> None:
            if self.path != ENTRY:
                self.send_error(404)
                return
            status, headers, body = cpsrvd.answer()
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            self.seen.append(format % args)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        cpsrvd.address = f"http://localhost:{server.server_port}{ENTRY}"
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def menu(whm: StandIn, simulated_panel: Panel) -> Iterator[Cpsrvd]:
    whm.layout.agent_env.write_text('EA4_SERVER="sandbox"\n')
    said: list[str] = []
    installed.install(whm.layout, simulated_panel.address.rstrip("/"), said.append)
    words = said[-2].split()
    assert words[:5] == ["ea4-mpm", "mpm", "server", "whm", "sandbox"]
    done = simulated_panel.manage(*words[1:])
    assert done.returncode == 0, done.stderr
    cpsrvd = Cpsrvd(whm)
    with served(cpsrvd):
        yield cpsrvd
    assert simulated_panel.manage(*words[1:5], "--remove").returncode == 0


def test_a_click_in_whm_opens_the_panel_signed_in(
    page: Page, menu: Cpsrvd, simulated_panel: Panel
) -> None:
    asked: list[tuple[str, str, str]] = []
    page.on(
        "request",
        lambda one: asked.append((one.method, one.url, one.headers.get("referer", ""))),
    )
    page.goto(menu.address)
    page.wait_for_url(f"{simulated_panel.address}software/easyapache4/mpm/?server=sandbox")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Apache MPM")
    expect(page.locator(".account-name")).to_have_text("root@sandbox (WHM)")
    assert not any("ea4whm1" in url for _, url, _ in asked), "the ticket is in no address"
    to_panel = [one for one in asked if one[1].startswith(simulated_panel.address)]
    assert to_panel[0][:2] == ("POST", f"{simulated_panel.address}whm/")
    assert not any("cpsess" in came_from for _, _, came_from in to_panel)
    page.get_by_role("button", name=re.compile("Server:")).click()
    expect(page.locator("#server-menu a")).to_have_count(1)
    page.keyboard.press("Escape")
    page.goto(f"{simulated_panel.address}users/")
    expect(page.locator("main")).to_contain_text("You signed in from WHM.")
    assert faults(page) == []


def test_without_javascript_a_button_opens_the_panel_and_works_once(
    browser: Browser, menu: Cpsrvd, simulated_panel: Panel
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(menu.address)
    page.get_by_role("button", name="Open the panel").click()
    page.wait_for_url(re.compile(r"/software/easyapache4/mpm/\?server=sandbox$"))
    ticket = menu.answer()[2].decode()
    page.set_content(ticket)
    page.get_by_role("button", name="Open the panel").click()
    page.wait_for_url(re.compile(r"\?server=sandbox$"))
    other = browser.new_context(java_script_enabled=False)
    again = other.new_page()
    again.set_content(ticket)
    again.get_by_role("button", name="Open the panel").click()
    again.wait_for_url(re.compile(r"/login/\?whm=used$"))
    expect(again.get_by_role("alert")).to_contain_text("was already used")
    other.close()
    context.close()


def test_an_administrator_of_the_panel_stays_signed_in_as_such(
    page: Page, menu: Cpsrvd, simulated_panel: Panel
) -> None:
    sign_in(page, simulated_panel)
    page.goto(menu.address)
    page.wait_for_url(re.compile(r"/software/easyapache4/mpm/\?server=sandbox$"))
    name = simulated_panel.accounts["administrator"][0]
    expect(page.locator(".account-name")).to_have_text(name)


@pytest.fixture
def real_server(simulated_panel: Panel) -> Iterator[None]:
    """The server of the panel, as one that may have WHM."""
    code = "from mpm.servers.models import Server; Server.objects.filter(name='sandbox').update"
    assert simulated_panel.manage("shell", "-c", f"{code}(kind='real')").returncode == 0
    yield
    assert simulated_panel.manage("shell", "-c", f"{code}(kind='simulated')").returncode == 0


@pytest.mark.usefixtures("real_server")
def test_an_administrator_registers_permits_and_removes_a_key_on_the_page_of_the_server(
    page: Page, menu: Cpsrvd, simulated_panel: Panel
) -> None:
    sign_in(page, simulated_panel)
    page.goto(f"{simulated_panel.address}servers/sandbox/")
    card = page.get_by_role("region", name="Sign-in from WHM")
    key = installed.public_key(menu.whm.layout)
    expect(card).to_contain_text(fingerprint(key))
    expect(card).to_contain_text("View this server only.")
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.reload()
    card.locator("summary", has_text="Allow changes").click()
    card.get_by_role("button", name="Allow changes").click()
    expect(card).to_contain_text("can change this server")
    card.get_by_role("button", name="Allow viewing only").click()
    expect(card).to_contain_text("View this server only.")
    card.locator("summary", has_text="Remove key").click()
    card.get_by_role("button", name="Remove key").click()
    expect(card).to_contain_text("Disabled")
    assert faults(page) == []
    card.get_by_label("Public key of the server").fill("no key")
    card.get_by_role("button", name="Register key").click()
    expect(page.locator("main")).to_contain_text("not the public key of a server")
    card.get_by_label("Public key of the server").fill(f" {key} ")
    card.get_by_role("button", name="Register key").click()
    expect(card).to_contain_text(fingerprint(key))


def test_a_reseller_without_the_privilege_is_told_what_is_missing(page: Page, menu: Cpsrvd) -> None:
    menu.user = "shop"
    page.goto(menu.address)
    expect(page.locator("body")).to_contain_text("You don’t have permission to open this page.")
    expect(page.get_by_role("button")).to_have_count(0)
