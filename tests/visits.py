"""Every page of the panel: at which address, for whom, in which state of things.

The one list that tests of pages and ``make screenshots`` go through. An address may name, in
braces, what ``tests.stack.make_past`` has made; ``{server}`` is the panel's own server. A page that
stands at no address is reached from there by what a person would do (``by``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, Page, ViewportSize

from demo.panel import Panel
from tests.browser import PATIENCE_MS, Complaints, acknowledge, sign_in

EA4 = "software/easyapache4/"
MPM = f"{EA4}mpm/"
HISTORY = f"{EA4}history/"
NOBODY = ""
"""Who has not signed in."""


@dataclass(frozen=True, slots=True)
class Visit:
    """``who`` is a role of ``Panel.accounts`` or NOBODY; ``complains``: what a browser rightly
    says to its console there."""

    name: str
    path: str
    by: Callable[[Page], None] | None = None
    who: str = "administrator"
    status: int = 200
    complains: str = ""


# -- what a person does to get to a page ----------------------------------------------------------


def wrong_password(page: Page) -> None:
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("a wrong one")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()


def without_cookies(page: Page) -> None:
    page.context.clear_cookies(name="csrftoken")
    page.get_by_role("button", name="Save as profile").click()
    page.get_by_role("heading", name="This page is out of date").wait_for()


def send_a_form(page: Page) -> None:
    """To a page that takes none, as one that was saved long ago may do."""
    page.evaluate(
        """() => {
            const form = document.querySelector("#account-menu form").cloneNode(true);
            form.action = location.pathname;
            document.body.append(form);
            form.submit();
        }"""
    )
    page.get_by_role("heading", name="This page doesn’t accept forms").wait_for()


def save_nothing(page: Page) -> None:
    page.get_by_label("File name, without .json").fill("not/a name")
    page.get_by_role("button", name="Save as profile").click()
    page.locator(".mistake").wait_for()


def save_and_delete(page: Page) -> None:
    page.get_by_label("File name, without .json").fill(f"kept_{time.time_ns()}")
    page.get_by_role("button", name="Save as profile").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").wait_for()


def request_review(page: Page) -> None:
    page.get_by_role("button", name="Review change").click()
    page.wait_for_url("**/review/**")


def confirm_nothing(page: Page) -> None:
    """A window without a beginning."""
    page.get_by_label("Schedule").check()
    acknowledge(page)
    page.get_by_role("button", name=re.compile("^Schedule change for web03")).click()
    page.locator("#errors").wait_for()


def repair(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Start Apache on")).click()
    page.get_by_text("Repair requested on").wait_for()


def new_password(page: Page) -> None:
    row = page.get_by_role("row", name=re.compile("sue"))
    row.get_by_role("button", name="Actions for sue").click()
    row.locator("summary", has_text="Reset password").click()
    row.get_by_role("button", name="Reset password sue").click()
    page.locator("#made").wait_for()


def new_token(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill("Backup")
    page.get_by_role("button", name="Create token").click()
    page.locator("#issued").wait_for()


def no_token(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill("Backup")
    page.get_by_label("Allowed networks").fill("everywhere")
    page.get_by_role("button", name="Create token").click()
    page.get_by_role("alert").first.wait_for()


def new_secret(page: Page) -> None:
    page.locator("summary", has_text="Rotate secret").click()
    page.get_by_role("button", name="Rotate secret").click()
    page.locator("#secret").wait_for()


def open_first_menu(page: Page) -> None:
    """That of the first row that has one."""
    page.locator("td .button.more").first.click()
    page.locator(".row-menu:popover-open").wait_for()


def open_menu(name: str) -> Callable[[Page], None]:
    return lambda page: page.locator(f"button[popovertarget={name}]").click()


def search_tools(page: Page) -> None:
    """With ``/``, which opens the tools first where the screen is small."""
    page.keyboard.press("/")
    page.keyboard.type("mpm")
    page.locator(".tools-found a:visible").first.wait_for()


# -- the list --------------------------------------------------------------------------------------

VISITS: tuple[Visit, ...] = (
    Visit("login", "login/", who=NOBODY),
    Visit("login-wrong", "login/", wrong_password, who=NOBODY),
    Visit("login-after-a-while", HISTORY, who=NOBODY),
    Visit("login-unsent", "login/?next=/users/&unsent=1", who=NOBODY),
    Visit("shared", "shared/{shared}/", who=NOBODY),
    Visit("shared-altered", "shared/{shared}x/", who=NOBODY, status=404),
    Visit("shared-over", "shared/{shared_over}/", who=NOBODY, status=410),
    Visit("api-docs", "api/docs", who=NOBODY),
    Visit("home", "?server={server}"),
    Visit("home-support", "?server=web06", who="support"),
    Visit("menu-account", "", open_menu("account-menu")),
    Visit("menu-servers", "", open_menu("server-menu")),
    Visit("menu-search", "", search_tools),
    Visit("easyapache4", EA4),
    Visit("easyapache4-not-seen", f"{EA4}?server=web13"),
    # -- the chooser
    Visit("mpm", f"{MPM}?server={{server}}&mpm=event"),
    Visit("mpm-as-it-is", f"{MPM}?server={{server}}"),
    Visit("mpm-itk", f"{MPM}?server={{server}}&mpm=prefork&itk=on"),
    Visit("mpm-itk-blocked", f"{MPM}?server={{server}}&mpm=event&itk=on"),
    Visit("mpm-blocked", f"{MPM}?server={{server}}&mpm=event&keep=ea-php74-php"),
    Visit("mpm-refused", f"{MPM}?server={{server}}&mpm=itk", status=422),
    Visit("mpm-little-memory", f"{MPM}?server=web14&mpm=prefork"),
    Visit("mpm-at-work", f"{MPM}?server=web08&mpm=worker"),
    Visit("mpm-stopped", f"{MPM}?server=web06&mpm=worker"),
    Visit("mpm-not-seen", f"{MPM}?server=web13"),
    Visit("mpm-support", f"{MPM}?server={{server}}&mpm=worker", who="support"),
    # -- the review
    Visit("review-asked", f"{MPM}?server=web03&mpm=worker", request_review),
    Visit("review-answered", f"{MPM}review/{{review_answered}}/"),
    Visit("review-mistake", f"{MPM}review/{{review_answered}}/", confirm_nothing),
    Visit("review-blocked", f"{MPM}review/{{review_blocked}}/"),
    Visit("review-differs", f"{MPM}review/{{review_differs}}/"),
    Visit("review-moved", f"{MPM}review/{{review_moved}}/"),
    Visit("review-busy", f"{MPM}review/{{review_busy}}/"),
    Visit("review-unanswered", f"{MPM}review/{{review_unanswered}}/"),
    Visit("review-satisfied", f"{MPM}review/{{review_satisfied}}/"),
    Visit("review-support", f"{MPM}review/{{review_answered}}/", who="support"),
    # -- changes
    Visit("change", f"{HISTORY}{{succeeded}}/"),
    Visit("change-error", f"{HISTORY}{{succeeded}}/?error=first"),
    Visit("change-searched", f"{HISTORY}{{succeeded}}/?find=nowhere"),
    Visit("change-packages", f"{HISTORY}{{succeeded}}/?part=packages"),
    Visit("change-checks", f"{HISTORY}{{restored}}/?part=checks"),
    Visit("change-impact", f"{HISTORY}{{succeeded}}/?part=impact"),
    Visit("change-log", f"{HISTORY}{{succeeded}}/?part=log"),
    Visit("change-timeline", f"{HISTORY}{{restored}}/?part=timeline"),
    Visit("change-share", f"{HISTORY}{{succeeded}}/?part=share"),
    Visit("change-printed", f"{HISTORY}{{succeeded}}/?print=1"),
    Visit("change-rolled-back", f"{HISTORY}{{restored}}/"),
    Visit("change-failed", f"{HISTORY}{{failed}}/"),
    Visit("change-canceled", f"{HISTORY}{{canceled}}/"),
    Visit("change-moved", f"{HISTORY}{{moved}}/"),
    Visit("change-outside", f"{HISTORY}{{outside}}/"),
    Visit("change-adopted", f"{HISTORY}{{adopted}}/"),
    Visit("change-back", f"{HISTORY}{{taken_back}}/"),
    Visit("change-running", f"{HISTORY}{{running}}/"),
    Visit("change-cancelable", f"{HISTORY}{{cancelable}}/"),
    Visit("change-scheduled", f"{HISTORY}{{scheduled}}/"),
    Visit("change-silent", f"{HISTORY}{{silent}}/"),
    Visit("change-support", f"{HISTORY}{{cancelable}}/", who="support"),
    Visit("rollback", f"{HISTORY}{{outside}}/rollback/"),
    Visit("rollback-refused", f"{HISTORY}{{succeeded}}/rollback/"),
    Visit("rollback-support", f"{HISTORY}{{outside}}/rollback/", who="support"),
    # -- the history
    Visit("history", HISTORY),
    Visit("history-searched", f"{HISTORY}?text=shop&last=30d&of=web03"),
    Visit("history-unknown-server", f"{HISTORY}?of=nowhere"),
    Visit("history-older", f"{HISTORY}?person=ada&since=2020-01-01"),
    Visit("history-none", f"{HISTORY}?text=nothing+fits+this"),
    Visit("history-mistake", f"{HISTORY}?since=tomorrow", status=422),
    Visit("history-export-mistake", f"{HISTORY}export.csv?since=tomorrow", status=422),
    # -- packages and profiles
    Visit("packages", f"{EA4}packages/?server={{server}}"),
    Visit("packages-updatable", f"{EA4}packages/?show=updatable"),
    Visit("packages-none", f"{EA4}packages/?q=nothing"),
    Visit("packages-not-seen", f"{EA4}packages/?server=web13"),
    Visit("package", f"{EA4}packages/ea-apache24-mod_mpm_event/?server={{server}}"),
    Visit("package-installed", f"{EA4}packages/ea-apache24/"),
    Visit("profiles", f"{EA4}profiles/?server={{server}}"),
    Visit("profiles-menu", f"{EA4}profiles/?server={{server}}", open_first_menu),
    Visit("profile-save", f"{EA4}profiles/save/?server={{server}}"),
    Visit("profile-save-mistake", f"{EA4}profiles/save/", save_nothing),
    Visit("profiles-deleted", f"{EA4}profiles/save/", save_and_delete),
    Visit("profile-upload", f"{EA4}profiles/upload/"),
    Visit("profiles-not-seen", f"{EA4}profiles/?server=web13"),
    Visit("profiles-support", f"{EA4}profiles/?server={{server}}", who="support"),
    Visit("profile", f"{EA4}profiles/stock-worker/?server={{server}}"),
    Visit("profile-own", f"{EA4}profiles/{{own_profile}}/"),
    Visit("profile-not-seen", f"{EA4}profiles/stock-worker/?server=web13"),
    # -- the doctor
    Visit("doctor", f"{EA4}doctor/?server={{server}}"),
    Visit("doctor-findings", f"{EA4}doctor/?server=web06"),
    Visit("doctor-after-a-failure", f"{EA4}doctor/?server=web04"),
    Visit("doctor-confirm", f"{EA4}doctor/?server=web06&repair=start-httpd"),
    Visit("doctor-asked", f"{EA4}doctor/?server=web06&repair=start-httpd", repair),
    Visit("doctor-done", f"{EA4}doctor/?server=web06&asked={{repaired}}"),
    Visit("doctor-not-done", f"{EA4}doctor/?server=web06&asked={{not_repaired}}"),
    Visit("doctor-not-seen", f"{EA4}doctor/?server=web13"),
    Visit("doctor-support", f"{EA4}doctor/?server=web06&repair=start-httpd", who="support"),
    # -- servers, people, programs
    Visit("servers", "servers/?server={server}"),
    Visit("servers-none", "servers/?q=nothing"),
    Visit("server", "servers/{server}/"),
    Visit("server-stopped", "servers/web06/"),
    Visit("server-not-seen", "servers/web13/"),
    Visit("users", "users/"),
    Visit("users-menu", "users/", open_first_menu),
    Visit("users-password", "users/", new_password),
    Visit("user-add", "users/add/"),
    Visit("users-support", "users/", who="support"),
    Visit("tokens", "tokens/"),
    Visit("tokens-menu", "tokens/", open_first_menu),
    Visit("token-add", "tokens/add/"),
    Visit("tokens-made", "tokens/add/", new_token),
    Visit("token-add-mistake", "tokens/add/", no_token),
    Visit("token-edit", "tokens/{token}/edit/"),
    Visit("webhooks", "webhooks/"),
    Visit("webhooks-menu", "webhooks/", open_first_menu),
    Visit("webhook-add", "webhooks/add/"),
    Visit("webhook-edit", "webhooks/{webhook}/edit/"),
    Visit("webhook", "webhooks/{webhook}/"),
    Visit("webhook-secret", "webhooks/{webhook}/", new_secret),
    # -- one's own
    Visit("preferences", "preferences/"),
    Visit("messages", "messages/"),
    Visit("tools", "tools/?q=mpm"),
    Visit("tools-changes", "tools/?q=shop"),
    Visit("tools-none", "tools/?q=nothing"),
    Visit("password", "password/"),
    Visit("password-done", "password/done/"),
    # -- Help
    Visit("help", "help/"),
    Visit("help-tutorial", "help/tutorial/first-change/", who="support"),
    Visit("help-page", "help/how-to/use-the-rest-api/?server={server}"),
    Visit("help-reference", "help/reference/states/"),
    Visit("help-none", "help/reference/nothing/", status=404),
    # -- pages that say no
    Visit("not-found", "no/such/page/", status=404),
    Visit("unknown-server", f"{HISTORY}?server=nowhere", status=404),
    Visit("not-allowed", "tokens/", who="support", status=403),
    Visit("not-taken", "messages/", send_a_form),
    Visit("out-of-date", f"{EA4}profiles/save/?server={{server}}", without_cookies),
    Visit(
        "fault",
        f"{MPM}review/{{review_broken}}/",
        status=500,
        complains="Failed to load resource: the server responded with a status of 500",
    ),
)
"""In a panel with a past. Later ones may meet what earlier ones did."""

FIRST_VISITS: tuple[Visit, ...] = (
    Visit("first-home", ""),
    Visit("first-easyapache4", EA4),
    Visit("first-mpm", MPM),
    Visit("first-packages", f"{EA4}packages/"),
    Visit("first-profiles", f"{EA4}profiles/"),
    Visit("first-doctor", f"{EA4}doctor/"),
    Visit("first-history", HISTORY),
    Visit("first-servers", "servers/"),
    Visit("first-users", "users/"),
    Visit("first-tokens", "tokens/"),
    Visit("first-webhooks", "webhooks/"),
    Visit("first-messages", "messages/"),
)
"""In a panel to which nothing has happened, not even a server."""


# -- going there -----------------------------------------------------------------------------------


def go(page: Page, panel: Panel, visit: Visit, known: Mapping[str, str]) -> None:
    """Open a page of the list. Raises AssertionError where the answer is another one."""
    answer = page.goto(panel.address + visit.path.format_map(known))
    assert answer is not None
    assert answer.status == visit.status, f"{visit.name} is answered with {answer.status}"
    if visit.by is not None:
        visit.by(page)


@contextmanager
def signed_in(
    browser: Browser, panel: Panel, visits: Sequence[Visit], viewport: ViewportSize
) -> Iterator[Callable[[Visit], Page]]:
    """A page for each person the visits need, all in windows of one size. What is said to their
    consoles, and is not to be expected, fails at the end."""
    pages: dict[str, Page] = {}
    complaints: dict[str, Complaints] = {}
    for who in dict.fromkeys(visit.who for visit in visits):
        context = browser.new_context(
            viewport=viewport, locale="en-GB", timezone_id="Europe/Berlin"
        )
        context.set_default_timeout(PATIENCE_MS)
        pages[who], complaints[who] = context.new_page(), Complaints()
        complaints[who].listen(pages[who])
        if who != NOBODY:
            sign_in(pages[who], panel, who)
    yield lambda visit: pages[visit.who]
    for page in pages.values():
        page.context.close()
    expected = tuple(visit.complains for visit in visits if visit.complains)
    said = [text for one in complaints.values() for text in one.messages]
    assert [text for text in said if not text.startswith(expected)] == []
