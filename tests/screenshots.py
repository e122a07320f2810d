"""``make screenshots``: every page of a running panel, wide and narrow, light and dark.

Starts a panel with a real server, makes two changes so that there is something to see, and
writes ``<page>-<width>-<theme>.png``. Not a test: somebody has to look at the result.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from easyapache.demo.panel import Panel
from tests.browser import opened_browser, sign_in

WIDTHS = ((1440, 900), (390, 844))
THEMES = ("light", "dark")
EA4 = "software/easyapache4"
PAGES = {
    "home": "",
    "easyapache4": f"{EA4}/",
    "mpm": f"{EA4}/mpm/?mpm=event",
    "mpm-as-it-is": f"{EA4}/mpm/",
    "mpm-itk": f"{EA4}/mpm/?mpm=prefork&itk=on",
    "mpm-blocked": f"{EA4}/mpm/?mpm=event&keep=ea-php74-php",
    "packages": f"{EA4}/packages/",
    "package": f"{EA4}/packages/ea-apache24-mod_mpm_event/",
    "profiles": f"{EA4}/profiles/",
    "doctor": f"{EA4}/doctor/",
    "doctor-confirm": f"{EA4}/doctor/?repair=restart-httpd",
    "history": f"{EA4}/history/",
    "history-empty": f"{EA4}/history/?text=nothing+fits+this",
    "change": f"{EA4}/history/1/",
    "rollback": f"{EA4}/history/1/rollback/",
    "servers": "servers/",
    "server": "servers/lab/",
    "users": "users/",
    "preferences": "preferences/",
    "messages": "messages/",
    "tools": "tools/",
    "not-found": "no/such/page/",
}


@contextmanager
def panel_with_a_past() -> Iterator[Panel]:
    folder = Path(tempfile.mkdtemp(prefix="ea4shots"))
    folder.chmod(0o755)
    panel = Panel.start(folder / "p")
    try:
        while panel.manage("mpm", "status", "--server", "lab", "--json").returncode != 0:
            time.sleep(0.5)
        for target, reason, ticket in (
            ("event", "HTTP/2 for the shop", "OPS-311"),
            ("prefork", "PHP 7.4 as a module is still needed until June", "OPS-318"),
        ):
            done = panel.manage(
                *("mpm", "switch", target, "--no-itk", "--server", "lab", "--wait"),
                *("--reason", reason, "--ticket", ticket),
            )
            if done.returncode != 0:
                raise RuntimeError(done.stdout + done.stderr)
        yield panel
    finally:
        panel.stop()
    shutil.rmtree(folder)


def shoot(page: Page, target: Path, name: str, width: int, theme: str) -> None:
    """The whole page, in a window as high as the page: what sticks to the window's edge is
    then where it belongs."""
    page.wait_for_load_state("load")
    height = int(page.evaluate("document.documentElement.scrollHeight"))
    usual = page.viewport_size
    page.set_viewport_size({"width": width, "height": max(height, 800)})
    page.screenshot(path=target / f"{name}-{width}-{theme}.png")
    if usual is not None:
        page.set_viewport_size(usual)


def for_the_readme(page: Page, panel: Panel, target: Path) -> None:
    """Two windows as a person has them."""
    page.set_viewport_size({"width": 1440, "height": 1000})
    for name in ("mpm", "change"):
        page.goto(panel.address + PAGES[name])
        page.screenshot(path=target / f"readme-{name}.png")


def review(page: Page, panel: Panel) -> None:
    """Ask for a change and wait until the server has answered; nothing is confirmed."""
    page.goto(f"{panel.address}{EA4}/mpm/?server=lab&mpm=event")
    page.get_by_role("button", name="Review change").click()
    page.wait_for_url("**/review/**")
    page.get_by_text("answered").first.wait_for()


def every_page(browser: Browser, panel: Panel, target: Path, say: bool = True) -> int:
    taken = 0
    for width, height in WIDTHS:
        for theme in THEMES:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if theme == "dark" else "light",
                locale="en-GB",
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.goto(f"{panel.address}login/")
            shoot(page, target, "login", width, theme)
            sign_in(page, panel)
            page.goto(f"{panel.address}?server=lab")
            for name, path in PAGES.items():
                page.goto(panel.address + path)
                shoot(page, target, name, width, theme)
            if (width, theme) == (1440, "light"):
                for_the_readme(page, panel, target)
            review(page, panel)
            shoot(page, target, "review", width, theme)
            context.close()
            taken += len(PAGES) + 2
            if say:
                sys.stderr.write(f"{width} px, {theme}: {len(PAGES) + 2} pages\n")
    return taken


def main(arguments: list[str]) -> int:
    target = Path(arguments[0] if arguments else "docs/screenshots")
    target.mkdir(parents=True, exist_ok=True)
    sys.stderr.write("starting a panel and making two changes on its server\n")
    with panel_with_a_past() as panel, opened_browser() as browser:
        taken = every_page(browser, panel, target)
    sys.stderr.write(f"{taken} pictures in {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
