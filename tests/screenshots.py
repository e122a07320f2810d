"""``make screenshots``: every page of a running panel, wide and narrow, light and dark.

Starts a panel with a real server and makes two changes on it, takes the README's two pictures,
gives the panel a past, and writes ``<page>-<width>-<theme>.png`` for every visit of
``tests.visits``. Not a test: somebody has to look at the result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize

from demo.panel import Panel
from tests.browser import opened_browser, sign_in
from tests.places import short_folder
from tests.stack import PATIENT, bare_panel, make_past
from tests.visits import FIRST_VISITS, HISTORY, MPM, VISITS, Visit, go, signed_in

SIZES = (ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844))
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@contextmanager
def panel_with_two_changes() -> Iterator[Panel]:
    with short_folder() as folder:
        panel = Panel.start(folder / "p", **PATIENT)
        try:
            while panel.manage("mpm", "status", "--server", "lab", "--json").returncode != 0:
                time.sleep(0.5)
            for target, reason, ticket in (
                ("event", "HTTP/2 for the shop", "OPS-311"),
                ("prefork", "PHP 7.4 as a module is still needed until June", "OPS-318"),
            ):
                done = panel.manage(
                    *("mpm", "switch", target, "--no-itk", "--server", "lab", "--yes", "--wait"),
                    *("--reason", reason, "--ticket", ticket),
                )
                if done.returncode != 0:
                    raise RuntimeError(done.stdout + done.stderr)
            yield panel
        finally:
            panel.stop()


def for_the_readme(browser: Browser, panel: Panel, target: Path) -> None:
    """Two windows as a person has them."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 1000}, locale="en-US", reduced_motion="reduce"
    )
    page = context.new_page()
    sign_in(page, panel)
    for name, path in (("mpm", f"{MPM}?server=lab&mpm=event"), ("change", f"{HISTORY}1/")):
        page.goto(panel.address + path)
        page.screenshot(path=target / f"readme-{name}.png")
    context.close()


def shoot(page: Page, target: Path, name: str) -> None:
    """The whole page, in a window as high as the page: what sticks to the window's edge is
    then where it belongs."""
    page.wait_for_load_state("load")
    usual = page.viewport_size
    assert usual is not None
    for theme in THEMES:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        height = int(page.evaluate("document.documentElement.scrollHeight"))
        page.set_viewport_size({"width": usual["width"], "height": max(height, 800)})
        page.screenshot(path=target / f"{name}-{usual['width']}-{theme}.png")
        page.set_viewport_size(usual)


def shoot_all(
    browser: Browser,
    panel: Panel,
    visits: Sequence[Visit],
    known: Mapping[str, str],
    target: Path,
) -> int:
    for size in SIZES:
        with signed_in(browser, panel, visits, size) as page_of:
            for visit in visits:
                page = page_of(visit)
                go(page, panel, visit, known)
                shoot(page, target, visit.name)
        sys.stderr.write(f"{size['width']} px: {len(visits)} pages\n")
    return len(visits) * len(SIZES) * len(THEMES)


def main(arguments: list[str]) -> int:
    if len(arguments) > 1 or (arguments[:1] and arguments[0].startswith("-")):
        sys.stderr.write("usage: python -m tests.screenshots [FOLDER]\n")
        return 2
    target = Path(arguments[0] if arguments else "docs/screenshots")
    target.mkdir(parents=True, exist_ok=True)
    taken = 0
    with opened_browser() as browser:
        sys.stderr.write("starting a panel and making two changes on its server\n")
        with panel_with_two_changes() as panel:
            for_the_readme(browser, panel, target)
            taken += shoot_all(browser, panel, VISITS, make_past(panel), target)
        with bare_panel() as panel:
            taken += shoot_all(browser, panel, FIRST_VISITS, {}, target)
    sys.stderr.write(f"{taken} pictures in {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
