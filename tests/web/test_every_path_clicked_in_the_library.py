"""Packages and profiles, clicked through."""

from __future__ import annotations

import json
import re
import time

import pytest
from playwright.sync_api import FilePayload, expect

from tests.desk import Desk, text_of
from tests.visits import EA4

pytestmark = pytest.mark.browser


def test_packages_are_searched_as_one_types_and_the_address_is_a_whole_page(desk: Desk) -> None:
    page = desk.open(f"{EA4}packages/?server=web03")
    rows = page.locator("#found tbody tr")
    everything = rows.count()
    page.get_by_role("searchbox", name="Package name").fill("mod_mpm")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("ea-apache24-mod_mpm_prefork")
    page.get_by_role("radio", name="Not installed").check()
    expect(rows.first).to_contain_text("not installed")
    for row in rows.all_inner_texts():
        assert "mod_mpm" in row
    page.get_by_role("radio", name="All", exact=True).check()
    expect(page).to_have_url(re.compile(r"show=all"))
    found = rows.all_inner_texts()
    assert any("prefork" in row for row in found)
    assert any("event" in row for row in found)
    tab = page.context.new_page()
    tab.goto(page.url)
    expect(tab.locator("header.bar")).to_have_count(1)
    assert tab.locator("#found tbody tr").all_inner_texts() == found
    tab.close()
    page.get_by_role("searchbox", name="Package name").fill("nothing")
    expect(page.get_by_text("No packages found.")).to_be_visible()
    desk.open(f"{EA4}packages/?show=updatable")
    page.get_by_role("radio", name=re.compile("^Installed")).check()
    expect(rows).to_have_count(everything)


def test_the_relations_of_a_package_lead_from_one_to_the_next_and_back(desk: Desk) -> None:
    page = desk.open(f"{EA4}packages/?server=web03&q=mod_mpm_prefork")
    page.get_by_role("link", name="ea-apache24-mod_mpm_prefork").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("installed")
    against = page.locator("section", has=page.get_by_role("heading", name="Conflicts"))
    against.get_by_role("link", name="ea-apache24-mod_mpm_event").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("ea-apache24-mod_mpm_event")
    expect(page.get_by_role("heading", level=1)).to_contain_text("not installed")
    needs = page.locator("section", has=page.get_by_role("heading", name="Requires"))
    expect(needs).to_contain_text("ea-apache24-mod_cgid")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_contain_text("ea-apache24-mod_mpm_prefork")
    page.get_by_role("link", name="Installed packages").last.click()
    expect(page.get_by_role("heading", name="Installed packages", level=1)).to_be_visible()


def test_the_current_state_becomes_a_profile_is_fetched_deleted_and_brought_back(
    desk: Desk,
) -> None:
    name = f"state_{time.time_ns()}"
    page = desk.open(f"{EA4}?server=web03")
    page.get_by_role("link", name="Convert to profile").click()
    page.get_by_label("File name, without .json").fill(name)
    page.get_by_label("Description").fill("before the sale")
    page.get_by_role("button", name="Save as profile").click()
    expect(page.locator("#flash")).to_contain_text(f"Saved as {name}.json")
    expect(page.get_by_text("identical", exact=True)).to_be_visible()
    with page.expect_download() as fetched:
        page.get_by_role("link", name="Download").click()
    assert fetched.value.suggested_filename == f"{name}.json"
    file = json.loads(text_of(fetched.value))
    assert "ea-apache24-mod_mpm_prefork" in file["pkgs"]
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#flash")).to_contain_text(f"Deleted {name}.json")
    expect(page.get_by_role("cell", name=f"{name}.json")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#flash")).to_contain_text(f"Restored {name}.json")
    expect(page.locator(".page-head")).to_contain_text("before the sale")


def test_an_uploaded_profile_is_compared_and_its_mpm_part_is_offered(desk: Desk) -> None:
    name = f"sent_{time.time_ns()}"
    content = {
        "name": "Workers",
        "desc": "threads for everybody",
        "version": "1.1",
        "tags": ["Apache 2.4"],
        "pkgs": ["ea-apache24", "ea-apache24-mod_mpm_worker", "ea-apache24-mod_cgid", "ea-nowhere"],
    }
    file = FilePayload(
        name=f"{name}.json", mimeType="application/json", buffer=json.dumps(content).encode()
    )
    page = desk.open(f"{EA4}profiles/?server=web03")
    page.get_by_role("link", name="Upload profile").click()
    page.get_by_label("Profile file").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#flash")).to_contain_text(f"Uploaded {name}.json")
    missing = page.locator("main")
    expect(missing).to_contain_text("Missing 2")
    expect(missing).to_contain_text("Not in this panel’s catalog 1")
    expect(missing).to_contain_text("doesn’t provision profiles")
    page.get_by_role("link", name="Plan change to worker").click()
    expect(page.locator("#summary")).to_contain_text(
        re.compile(r"prefork\s.*to\s+worker", re.DOTALL)
    )
    desk.open(f"{EA4}profiles/upload/?server=web03")
    page.get_by_label("Profile file").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("already")
    page.get_by_label("Profile file").set_input_files(file)
    page.get_by_label("Replace an existing profile with this name").check()
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#flash")).to_contain_text(f"Uploaded {name}.json")
