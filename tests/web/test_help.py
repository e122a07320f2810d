"""Help: the pages of docs/, as the panel shows them."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.test import Client
from django.urls import resolve
from playwright.sync_api import expect

from mpm import VERSION
from mpm.servers.models import Server
from mpm.web.manual import Manual, Page, key_of, manual, rendered, target
from tests.browser import COLOURS, faults
from tests.desk import Desk

TOP = Path(__file__).resolve().parent.parent.parent
DOCS = TOP / "docs"
SOURCES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


class Article(HTMLParser):
    """What an article links to, and the ids in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a":
            self.links.append(values.get("href") or "")
        if values.get("id"):
            self.ids.append(str(values["id"]))


def article(client: Client, address: str) -> str:
    """The body of a page of Help. Fails where there is none."""
    answer = client.get(address)
    assert answer.status_code == 200, address
    found = re.search(r"<article.*?</article>", answer.content.decode(), re.DOTALL)
    assert found
    return found[0]


def of_text(text: str) -> tuple[Page, Manual]:
    page = Page("how-to/one", "how-to/one.md", "One", text)
    return page, {"": Page("", "README.md", "Help", "# Help"), page.key: page}


@pytest.mark.parametrize("source", SOURCES)
def test_every_file_of_the_documentation_is_a_page(source: str, support: Client) -> None:
    page = manual()[key_of(source)]
    answer = support.get(page.address)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert text.count("<h1") == 1
    assert escape(page.title) in text
    assert f"Version {VERSION}" in text


def test_every_page_but_the_first_is_in_the_list_beside_a_page(admin: Client) -> None:
    text = admin.get("/help/").content.decode()
    listed = re.search(r'<nav class="card contents.*?</nav>', text, re.DOTALL)
    assert listed
    for key in filter(None, manual()):
        assert f'href="/help/{key}/' in listed[0], key


@pytest.mark.parametrize("source", SOURCES)
def test_every_link_of_a_page_leads_to_a_page_and_a_heading_that_are_there(
    source: str, admin: Client
) -> None:
    page = manual()[key_of(source)]
    written = re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)", page.text)
    for href in written:
        assert target(href, page, manual()), f"{source} links to {href}"
    own = Article(article(admin, page.address))
    for href in own.links:
        if href.startswith(("https://", "http://")):
            continue
        address, _, heading = href.partition("#")
        address = address or page.address
        if address.startswith("/help/"):
            there = Article(article(admin, address))
            assert not heading or heading in there.ids, f"{source} links to {href}"
        else:
            assert resolve(address).func is not None


@pytest.mark.parametrize(
    "path",
    [
        "/help/nothing/",
        "/help/tutorial/",
        "/help/README/",
        "/help/README.md/",
        "/help/tutorial/first-change.md/",
        "/help/../manage.py/",
        "/help/../easyapache/settings.py/",
        "/help/%2e%2e/README/",
        "/help/..%2f..%2fetc%2fpasswd/",
        "/help//etc/passwd/",
        "/help/tutorial/../tutorial/first-change/",
        "/help/screenshots/readme-mpm.png/",
        "/help/tutorial%00/",
        "/help/tutorial\\first-change/",
    ],
)
def test_an_address_that_is_no_page_is_not_found(path: str, admin: Client) -> None:
    assert admin.get(path).status_code == 404


def test_a_stranger_reads_no_help() -> None:
    assert Client().get("/help/tutorial/first-change/")["Location"].startswith("/login/?next=")


def test_only_files_below_docs_are_read(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (tmp_path / "secret.md").write_text("# Secret")
    (docs / "README.md").write_text("# Help")
    (docs / "out.md").symlink_to(tmp_path / "secret.md")
    (docs / "large.md").write_text("# Large\n" + "x" * (1024 * 1024))
    (docs / "other.txt").write_text("# Other")
    assert list(manual(docs)) == [""]


def test_help_without_files_has_no_pages(tmp_path: Path) -> None:
    assert dict(manual(tmp_path / "none")) == {}


def test_html_in_a_page_is_shown_as_text() -> None:
    page, pages = of_text("# One\n\n<script>alert(1)</script>\n\na <b onclick=x>b</b> <!-- c -->")
    html = rendered(page, pages)
    assert "<script" not in html
    assert "<b" not in html.replace("<blockquote", "")
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "//elsewhere.example/",
        "file:///etc/passwd",
        "../../README.md",
        "../../../etc/passwd",
        "nothing.md",
    ],
)
def test_a_link_that_leads_to_no_page_is_only_words(href: str) -> None:
    page, pages = of_text(f"# One\n\n[the words]({href})")
    html = rendered(page, pages)
    assert "<a" not in html
    assert "the words" in html


def test_links_between_files_lead_to_addresses_of_help() -> None:
    page, pages = of_text(
        "# One\n\n[up](../README.md#x) [here](#y) [api](/api/docs) [self](one.md)"
    )
    found = Article(rendered(page, pages)).links
    assert found == ["/help/#x", "/help/how-to/one/#y", "/api/docs", "/help/how-to/one/"]


def test_headings_have_an_id_each_and_the_title_stands_above_the_page() -> None:
    page, pages = of_text("# One\n\n## A step\n\n## A step\n\n### ???")
    html = rendered(page, pages)
    assert "<h1" not in html
    assert Article(html).ids == ["a-step", "a-step-2", "section"]


def test_a_picture_is_its_words() -> None:
    page, pages = of_text("# One\n\n![What it shows](../screenshots/x.png)")
    html = rendered(page, pages)
    assert "<img" not in html
    assert "What it shows" in html


def test_every_page_of_the_panel_links_to_help(admin: Client, server: Server) -> None:
    text = admin.get("/servers/?server=web01").content.decode()
    link = re.search(r'<a class="bar-link"\s+href="/help/\?server=web01".*?</a>', text, re.DOTALL)
    assert link
    assert ">Help</span>" in link[0]


def test_on_a_german_page_help_says_that_it_is_english(admin: Client) -> None:
    admin.post("/preferences/", {"language": "de"})
    text = admin.get("/help/tutorial/first-change/").content.decode()
    assert '<html lang="de"' in text
    assert "Die Hilfe ist auf Englisch." in text
    assert "Nachschlagen" in text
    assert '<article class="card prose" lang="en">' in text


def test_the_keys_that_help_names_are_those_of_the_panel() -> None:
    scripts = sorted((TOP / "static/panel").glob("*.js"))
    script = "".join(path.read_text("utf-8") for path in scripts)
    used = set(re.findall(r'event\.key [!=]== "([^"]+)"', script))
    used |= set(re.findall(r"\b(Arrow\w+): -?1", script))
    page = manual()["reference/keyboard"].text
    named = {"/", "?", "Escape", "ArrowDown", "ArrowUp"}
    assert used == named, "docs/reference/keyboard.md names these"
    in_short = (TOP / "templates/easyapache/_keys.html").read_text("utf-8")
    for shown in ("/", "?", "Esc", "↓", "↑"):
        assert f"`{shown}`" in page
        assert f"<kbd>{shown}</kbd>" in in_short


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_help_is_read_on_a_telephone(desk: Desk, scheme: str) -> None:
    page = desk.open("help/")
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.get_by_role("article").get_by_role("link", name="Your first change").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your first change")
    for key in filter(None, manual()):
        page.goto(f"{desk.panel.address}help/{key}/")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, key
        assert faults(page, COLOURS) == [], key
    page.get_by_role("link", name="Help", exact=True).first.click()
    page.get_by_role("navigation", name="Pages of Help").get_by_role(
        "link", name="Keyboard"
    ).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keyboard shortcuts")


@pytest.mark.browser
def test_help_is_printed_without_what_is_beside_it(desk: Desk) -> None:
    page = desk.open("help/reference/states/")
    page.emulate_media(media="print")
    expect(page.get_by_role("article")).to_be_visible()
    expect(page.locator(".contents")).to_be_hidden()
    expect(page.locator(".bar")).to_be_hidden()
