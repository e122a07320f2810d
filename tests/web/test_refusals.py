"""What must not happen does not happen, and the answer says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from easyapache.ea4 import profile_file
from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.profile_file import MOST_BYTES, ProfileFile
from mpm.changes.services.planning import plan_for, request_preview
from mpm.changes.services.request import request_change
from mpm.models import Change, Preview, State
from mpm.servers.inventory import record_scan
from mpm.servers.models import SavedProfile, Server
from mpm.servers.services.inspection import record_preview
from tests.web.conftest import ADMIN, HISTORY, MPM, answered_preview, report_steps

PROFILES = "/software/easyapache4/profiles/"


def confirmed(client: Client, preview: Preview, **fields: str) -> str:
    """The page that a browser is at after the form of a review was sent: never the answer to the
    form itself, so that Back and a reload send nothing again."""
    path = f"{MPM}review/{preview.uuid}/confirm/"
    answer = client.post(path, {"acknowledged": "yes"} | fields)
    assert answer.status_code == 302
    return client.get(answer["Location"].partition("#")[0]).content.decode()


def test_support_cannot_change_anything(
    support: Client, server: Server, running_change: Change
) -> None:
    preview = answered_preview(server, Choice.parse("worker"))
    before = (Change.objects.count(), Preview.objects.count(), SavedProfile.objects.count())
    posts: tuple[tuple[str, dict[str, str]], ...] = (
        (f"{MPM}review/", {"mpm": "event"}),
        (f"{MPM}review/{preview.uuid}/confirm/", {"digest": preview.digest}),
        (f"{MPM}review/{preview.uuid}/again/", {}),
        (f"{HISTORY}{running_change.pk}/cancel/", {}),
        (f"{HISTORY}{running_change.pk}/rollback/confirm/", {}),
        (f"{HISTORY}{running_change.pk}/adopt/", {}),
        (f"{HISTORY}{running_change.pk}/recover/", {}),
        (f"{PROFILES}save/", {"name": "x", "file_name": "x"}),
        (f"{PROFILES}upload/", {}),
        (f"{PROFILES}own-1/delete/", {}),
        (f"{PROFILES}restore/", {"pk": "1"}),
        ("/users/add/", {"name": "eve", "role": "administrator"}),
        ("/users/1/", {"action": "administrator"}),
    )
    for path, data in posts:
        answer = support.post(path, data)
        assert answer.status_code == 403, path
        assert b"have permission" in answer.content
    assert before == (Change.objects.count(), Preview.objects.count(), SavedProfile.objects.count())
    running_change.refresh_from_db()
    assert running_change.state == State.RUNNING


def test_support_sees_why_there_are_no_buttons(
    support: Client, server: Server, finished_change: Change
) -> None:
    chooser = support.get(f"{MPM}?mpm=worker").content.decode()
    assert "Review change" not in chooser
    assert "Only administrators can make changes" in chooser
    preview = answered_preview(server, Choice.parse("worker"))
    review = support.get(f"{MPM}review/{preview.uuid}/").content.decode()
    assert "<form" not in review.split('<main id="content"')[1]
    assert "Only administrators can confirm changes" in review


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("mpm=itk", "MPM ITK is an add-on"),
        ("mpm=threads", "is not an MPM"),
        ("mpm=event&add=ea-x;rm", "is not the name of an EasyApache 4 package"),
        ("mpm=event&add=--installroot=/", "is not the name of an EasyApache 4 package"),
        ("mpm=event&keep=bash", "is not the name of an EasyApache 4 package"),
        ("mpm=prefork&itk=perhaps", "itk must be on or off"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_with_a_sentence(
    query: str, says: str, admin: Client, server: Server
) -> None:
    page = admin.get(f"{MPM}?{query}")
    assert page.status_code == 422
    assert says in page.content.decode()
    part = admin.get(f"{MPM}plan/?{query}", headers={"HX-Request": "true"})
    assert part.status_code == 422
    assert says in part.content.decode()
    assert b"<html" not in part.content
    pairs = dict(pair.split("=", 1) for pair in query.split("&"))
    asked = admin.post(f"{MPM}review/", pairs)
    assert asked.status_code == 422
    assert Preview.objects.count() == 0


def test_nothing_is_asked_of_a_server_that_does_not_exist(admin: Client, server: Server) -> None:
    answer = admin.post(f"{MPM}review/", {"server": "web99", "mpm": "event"})
    assert answer.status_code == 404
    assert Preview.objects.count() == 0


@pytest.mark.parametrize("mpm", ["event", "worker"])
def test_itk_with_threads_blocks_and_offers_ways_out(
    mpm: str, admin: Client, server: Server
) -> None:
    page = admin.get(f"{MPM}?mpm={mpm}&itk=on").content.decode()
    assert 'class="finding block"' in page
    assert 'class="button small"' in page
    preview = answered_preview(server, Choice.parse(mpm, itk=True))
    answer = confirmed(admin, preview, digest=preview.digest)
    assert "Request rejected" in answer
    assert Change.objects.count() == 0


def test_a_digest_that_is_not_the_plans_starts_nothing(admin: Client, server: Server) -> None:
    preview = answered_preview(server, Choice.parse("event"))
    answer = confirmed(admin, preview, digest="0" * 32)
    assert "The server changed. Nothing was started." in answer
    assert Change.objects.count() == 0


def test_confirming_the_plan_of_a_server_that_has_moved_starts_nothing_and_shows_the_new_one(
    admin: Client, server: Server, stock_profile: Callable[..., Profile]
) -> None:
    preview = answered_preview(server, Choice.parse("event"))
    assert "mod_mpm_prefork" in admin.get(f"{MPM}review/{preview.uuid}/").content.decode()
    record_scan(server, stock_profile("worker"), timezone.now(), "scan")
    page = confirmed(admin, preview, digest=preview.digest)
    assert "The server changed. Nothing was started." in page
    seen_again = admin.get(f"{MPM}review/{preview.uuid}/").content.decode()
    assert "Nothing was started." not in seen_again, "a refusal is shown once"
    assert Change.objects.count() == 0
    again = admin.post(f"{MPM}review/{preview.uuid}/again/", {"reason": "PHP", "ticket": "T-1"})
    asked = admin.get(again.headers["Location"]).content.decode()
    assert "worker" in asked.partition("<h1")[2].partition("</h1>")[0]
    assert "PHP</textarea>" in asked, "what was typed is not lost"
    assert 'value="T-1"' in asked


def test_where_the_server_sees_it_differently_its_answer_counts(
    admin: Client, server: Server
) -> None:
    choice = Choice.parse("event")
    stored = plan_for(server, choice).transaction
    newer = tuple(replace(package, release="3") for package in stored.install)
    profile = server.profile
    assert profile is not None
    preview = request_preview(server, choice, ADMIN)
    answer = Transaction(install=newer, remove=stored.remove)
    record_preview(server.name, preview.uuid, answer, None, profile)
    preview.refresh_from_db()
    page = admin.get(f"{MPM}review/{preview.uuid}/").content.decode()
    assert "Plan differs from the estimate" in page
    assert "estimated “install 2.4.67-2”, server’s plan “install 2.4.67-3”" in page
    confirmed(admin, preview, digest=preview.digest)
    change = Change.objects.get()
    assert change.transaction is not None
    assert Transaction.from_json(change.transaction).digest == answer.digest


def test_a_confirm_without_a_digest_starts_nothing(admin: Client, server: Server) -> None:
    preview = answered_preview(server, Choice.parse("event"))
    assert "Nothing was started." in confirmed(admin, preview)
    assert Change.objects.count() == 0


def test_a_second_change_is_refused_with_a_link_to_the_first(
    admin: Client, server: Server, running_change: Change
) -> None:
    preview = answered_preview(server, Choice.parse("worker"))
    review = admin.get(f"{MPM}review/{preview.uuid}/").content.decode()
    assert 'name="digest"' not in review, "nothing to press that would be refused"
    assert f"{HISTORY}{running_change.pk}/" in review
    answer = confirmed(admin, preview, digest=preview.digest)
    assert "Another change is running. Nothing was started." in answer
    assert f"{HISTORY}{running_change.pk}/" in answer
    assert Change.objects.count() == 1


def test_a_window_without_a_beginning_is_asked_for(admin: Client, server: Server) -> None:
    preview = answered_preview(server, Choice.parse("event"))
    answer = confirmed(admin, preview, digest=preview.digest, when="window", ticket="T-7")
    errors = answer.split('id="errors"')[1].split("</div>")[0]
    assert "Enter a start time" in errors
    assert "#id_not_before" in errors
    assert 'value="T-7"' in answer


def test_warnings_are_acknowledged_before_anything_starts(admin: Client, server: Server) -> None:
    preview = answered_preview(server, Choice.parse("event"))
    page = admin.get(f"{MPM}review/{preview.uuid}/").content.decode()
    assert 'name="acknowledged"' in page
    assert page.index("findings-title") < page.index('id="packages"') < page.index("digest")
    answer = confirmed(admin, preview, digest=preview.digest, acknowledged="", reason="kept")
    assert "Confirm that you have read the warnings." in answer
    assert "kept</textarea>" in answer
    assert Change.objects.count() == 0


def test_a_review_says_what_happens_if_it_fails_beside_its_button(
    admin: Client, server: Server
) -> None:
    preview = answered_preview(server, Choice.parse("event"))
    page = admin.get(f"{MPM}review/{preview.uuid}/").content.decode()
    form = page.split('id="confirm"')[1].split("</form>")[0]
    assert "If anything fails, the previous packages are restored automatically." in form
    strip = page.split('id="impact"')[1].split("</dl>")[0]
    for part in ("Downtime", "Warnings", "Packages", "Restored automatically"):
        assert part in strip


@pytest.mark.parametrize("when", ["0001-01-01T00:00", "9999-12-31T23:59", "2020-01-01T00:00"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_a_window_at_the_end_of_time_is_refused(
    when: str, zone: str, admin: Client, server: Server
) -> None:
    admin.post("/preferences/", {"zone": zone})
    preview = answered_preview(server, Choice.parse("event"))
    answer = confirmed(admin, preview, digest=preview.digest, when="window", not_before=when)
    assert "notice error" in answer
    assert Change.objects.count() == 0


@pytest.mark.parametrize(
    "query",
    [
        "since=0001-01-01",
        "until=9999-12-31",
        "since=9999-12-31",
        "since=2026-03-04&until=2026-03-03",
    ],
)
def test_days_that_no_history_has_are_refused(query: str, admin: Client, server: Server) -> None:
    assert admin.get(f"{HISTORY}?{query}").status_code == 422
    assert admin.get(f"{HISTORY}export.csv?{query}").status_code == 422


def test_there_is_no_export_of_another_kind(admin: Client, server: Server) -> None:
    assert admin.get(f"{HISTORY}export.xml").status_code == 404


def test_a_form_from_before_another_sign_in_is_refused_kindly(server: Server) -> None:
    from tests.web.conftest import person

    client = Client(enforce_csrf_checks=True)
    client.force_login(person("ada", "administrator"))
    answer = client.post(f"{MPM}review/", {"mpm": "event", "csrfmiddlewaretoken": "x" * 64})
    assert answer.status_code == 403
    assert b"This page is out of date" in answer.content
    part = client.post(f"{MPM}review/", {"mpm": "event"}, headers={"HX-Request": "true"})
    assert part.status_code == 403
    assert b"<html" not in part.content


def upload(client: Client, content: bytes, name: str = "mine.json") -> tuple[int, str]:
    answer = client.post(f"{PROFILES}upload/", {"file": SimpleUploadedFile(name, content)})
    return answer.status_code, answer.content.decode()


GOOD = {"name": "Mine", "desc": "", "version": "1.0", "tags": [], "pkgs": ["ea-apache24"]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[]", "JSON object"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "tags"}).encode(), "is missing tags"),
        (json.dumps(GOOD | {"pkgs": ["../x"]}).encode(), "is not a package name"),
        (json.dumps(GOOD | {"pkgs": ["ea-x; rm"]}).encode(), "is not a package name"),
        (b"[" * 100_000, "is not JSON"),
        (b" " * (1024 * 1024 + 1), "larger than"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(
    content: bytes, says: str, admin: Client, server: Server
) -> None:
    status, page = upload(admin, content)
    assert status == 422
    assert says in page
    assert SavedProfile.objects.count() == 0


def test_a_file_of_fifty_megabytes_is_refused_without_being_read_whole(
    admin: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def parse(raw: bytes, known: Iterable[str]) -> ProfileFile:
        asked.append(len(raw))
        return profile_file.parse(raw, known)

    monkeypatch.setattr("mpm.servers.views.profiles.parse", parse)
    good = json.dumps(GOOD).encode()
    status, _ = upload(admin, good + b" " * (50 * 1024 * 1024))
    assert (status, asked) == (413, [])
    status, page = upload(admin, good + b" " * (MOST_BYTES + 1))
    assert status == 422
    assert "larger than" in page
    assert asked == [MOST_BYTES + 1]
    assert SavedProfile.objects.count() == 0


@pytest.mark.parametrize("name", ["..", "../x", "/etc/passwd", "x" * 121, ""])
def test_a_profile_is_saved_under_no_name_that_could_be_a_path(
    name: str, admin: Client, server: Server
) -> None:
    answer = admin.post(f"{PROFILES}save/", {"name": "Mine", "file_name": name})
    assert answer.status_code == 422
    assert 'class="mistake"' in answer.content.decode()
    assert SavedProfile.objects.count() == 0


def test_a_file_whose_name_is_none_is_not_taken(admin: Client, server: Server) -> None:
    status, page = upload(admin, json.dumps(GOOD).encode(), f"{'x' * 121}.json")
    assert status == 422
    assert 'class="mistake"' in page
    assert SavedProfile.objects.count() == 0


def test_of_a_path_that_a_browser_sends_along_only_the_name_is_kept(
    admin: Client, server: Server
) -> None:
    status, _ = upload(admin, json.dumps(GOOD).encode(), "../../x.json")
    assert status == 302
    assert SavedProfile.objects.get().file_name == "x"


def test_the_last_administrator_stays(admin: Client, server: Server) -> None:
    from django.contrib.auth.models import User

    ada = User.objects.get(username="ada")
    answer = admin.post(f"/users/{ada.pk}/", {"action": "support"}, follow=True)
    assert b"last administrator" in answer.content
    assert ada.groups.get().name == "administrator"


def test_a_new_password_is_on_the_next_page_once_and_ones_own_row_has_no_buttons(
    admin: Client, server: Server
) -> None:
    answer = admin.post("/users/add/", {"name": "eve", "role": "support"}, follow=True)
    assert answer.redirect_chain == [("/users/", 302)]
    assert answer["Cache-Control"] == "no-store"
    page = answer.content.decode()
    password = page.split('<code id="made">')[1].split("<")[0]
    assert Client().login(username="eve", password=password)
    page = admin.get("/users/").content.decode()
    assert password not in page
    own, other = (
        re.search(rf"<tr>(?:(?!</tr>).)*\b{name}\b.*?</tr>", page, re.DOTALL)
        for name in ("ada", "eve")
    )
    assert own is not None
    assert other is not None
    assert "<button" not in own[0]
    assert "Disable" in other[0]
    assert "signed out" in other[0]


def test_cancel_says_why_it_comes_too_late(admin: Client, server: Server) -> None:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    report_steps(change, up_to="packages")
    answer = admin.post(f"{HISTORY}{change.pk}/cancel/", follow=True)
    assert b"Too late to cancel" in answer.content
    page = admin.get(f"{HISTORY}{change.pk}/").content.decode()
    assert 'aria-disabled="true"' in page
    assert "Too late to cancel" in page


def test_a_filter_that_means_nothing_is_explained(admin: Client, server: Server) -> None:
    for query in ("result=wonderful", "since=yesterday", "itk=perhaps", "cursor=x1"):
        answer = admin.get(f"{HISTORY}?{query}")
        assert answer.status_code == 422, query
        assert b'role="alert"' in answer.content


def test_a_form_is_about_the_server_it_was_made_for_whatever_another_tab_chose(
    admin: Client, server: Server, known_server: Callable[..., Server]
) -> None:
    known_server("web02")
    admin.get(f"{MPM}?server=web02")
    assert 'name="server" value="web01"' in admin.get(f"{MPM}?server=web01").content.decode()
    admin.get("/?server=web02")
    admin.post(f"{MPM}review/", {"server": "web01", "mpm": "event"})
    assert Preview.objects.get().server == server


def test_the_way_back_from_a_stale_form_never_leads_to_another_host(db: None) -> None:
    browser = Client(enforce_csrf_checks=True)
    for referer, back in (
        ("http://testserver//evil.example/", 'href="/"'),
        ("http://evil.example/users/", 'href="/"'),
        ("http://testserver/users/", 'href="/users/"'),
    ):
        answer = browser.post("/login/", {}, headers={"Referer": referer})
        assert answer.status_code == 403
        assert back in answer.content.decode(), referer
        assert "evil.example" not in answer.content.decode()


def test_a_review_of_what_is_there_already_asks_the_server_nothing(
    admin: Client, server: Server
) -> None:
    answer = admin.post(f"{MPM}review/", {"mpm": "prefork"})
    assert answer.status_code == 200
    assert b"No changes needed" in answer.content
    assert b"the server already runs prefork" in answer.content
    assert Preview.objects.count() == 0
