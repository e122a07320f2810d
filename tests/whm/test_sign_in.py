"""What the panel makes of tickets, and what a session from WHM is worth."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.client import RequestFactory
from django.urls import get_resolver
from django.utils import timezone

from easyapache import tickets
from easyapache.ea4.mpm import Choice
from mpm.access.services.actor import Actor, BadRequest, NotAllowed
from mpm.access.services.users import reset_password, set_role
from mpm.access.services.whm import register_key, remove_key, set_may_change
from mpm.access.throttle import FAILURES_A_MINUTE, limiter
from mpm.access.whm_sessions import LASTS, OPEN
from mpm.changes.services.planning import request_preview
from mpm.changes.services.request import request_change
from mpm.history.diagnosis import of_the_panel
from mpm.models import Change, Event, Preview, WhmKey, WhmTicket
from mpm.servers.models import Server
from mpm.web.address import own_origin
from tests.panel.reports import carried_out
from tests.web.conftest import ADMIN, person
from tests.web.test_pages import views_of

PEM = tickets.new_key()
KEY = tickets.public_key(PEM)
HERE = "http://localhost"
MPM = "/software/easyapache4/mpm/"
HISTORY = "/software/easyapache4/history/"


@pytest.fixture(autouse=True)
def fresh_counts() -> Iterator[None]:
    limiter.cache_clear()
    yield
    limiter.cache_clear()


@pytest.fixture
def web03(known_server: Callable[..., Server]) -> Server:
    server = known_server("web03")
    register_key(server, KEY, ADMIN)
    return server


@pytest.fixture
def other(known_server: Callable[..., Server]) -> Server:
    return known_server("web04")


def browser() -> Client:
    return Client(SERVER_NAME="localhost", enforce_csrf_checks=True)


def ticket(pem: str = PEM, **more: Any) -> str:
    values: dict[str, Any] = {"server": "web03", "user": "root", "root": True, "audience": HERE}
    return tickets.signed(pem, **(values | {"now": time.time()} | more))


def click(client: Client, text: str) -> str:
    """Hand in a ticket as the form of WHM does, without the cookies that the browser keeps from a
    form of another site, and follow it; the address where that ends."""
    kept = client.cookies.output(attrs=[], header="", sep=";").strip()
    jar = client.cookies.copy()
    client.cookies.clear()
    answer = client.post("/whm/", {"ticket": text})
    assert answer.status_code == 303, kept
    for name, morsel in jar.items():
        client.cookies.setdefault(name, morsel)
    if answer.headers["Location"].startswith("/login/"):
        return str(answer.headers["Location"])
    return str(client.get(answer.headers["Location"]).headers["Location"])


@pytest.fixture
def inside(web03: Server) -> Client:
    client = browser()
    assert click(client, ticket()) == f"{MPM}?server=web03"
    return client


# -- the way in --------------------------------------------------------------------------------


def test_a_ticket_opens_the_mpm_page_of_its_server(inside: Client) -> None:
    page = inside.get(f"{MPM}?server=web03")
    assert page.status_code == 200
    assert "root@web03 (WHM)" in page.content.decode()
    assert "From WHM: this server only, view only" in page.content.decode()


def test_a_sign_in_from_whm_is_in_the_sealed_history_of_the_server(inside: Client) -> None:
    event = Event.objects.get(kind="whm.signed_in")
    assert (event.server_name, event.actor_name) == ("web03", "root@web03 (WHM)")
    assert event.data == {"whm_user": "root", "all_privileges": True}
    assert event.address == "127.0.0.1"
    call_command("mpm", "verify")


def test_a_ticket_opens_the_panel_once(web03: Server) -> None:
    text = ticket()
    assert click(browser(), text).startswith(MPM)
    second = browser()
    assert click(second, text) == "/login/?whm=used"
    assert "was already used" in second.get("/login/?whm=used").content.decode()
    assert Event.objects.get(kind="whm.refused").data == {"whm_user": "root", "reason": "used"}


@pytest.mark.django_db(transaction=True)
def test_of_many_browsers_with_one_ticket_one_gets_in(
    known_server: Callable[..., Server],
) -> None:
    register_key(known_server("web03"), KEY, ADMIN)
    text = ticket()

    def hand_in(_number: int) -> str:
        try:
            return str(browser().post("/whm/", {"ticket": text}).headers["Location"])
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(hand_in, range(6)))
    assert ended.count("/whm/enter/") == 1
    assert ended.count("/login/?whm=used") == 5


def test_the_second_step_belongs_to_the_browser_that_handed_the_ticket_in(web03: Server) -> None:
    first = browser()
    assert first.post("/whm/", {"ticket": ticket()}).status_code == 303
    assert browser().get("/whm/enter/").headers["Location"] == "/login/?whm=expired"
    cookie = first.cookies["whm_entry"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/whm/")
    assert first.get("/whm/enter/").headers["Location"].startswith(MPM)
    first.cookies["whm_entry"] = cookie.value
    again = first.get("/whm/enter/")
    assert again.headers["Location"] == "/login/?whm=expired"


def test_the_second_step_is_taken_within_a_minute(web03: Server) -> None:
    client = browser()
    client.post("/whm/", {"ticket": ticket()})
    WhmTicket.objects.update(used_at=timezone.now() - timedelta(seconds=61))
    assert client.get("/whm/enter/").headers["Location"] == "/login/?whm=expired"


@pytest.mark.parametrize(
    ("more", "reason", "words"),
    [
        ({"now": time.time() - 3600}, "expired", "has expired"),
        ({"now": time.time() + 3600}, "early", "clock of this server is ahead"),
        ({"audience": "https://other.example.test"}, "audience", "another address of the panel"),
        ({"server": "web04"}, "unknown", "accept sign-ins from this server"),
        ({"server": "nowhere"}, "unknown", "accept sign-ins from this server"),
        ({"pem": tickets.new_key()}, "invalid", "isn’t valid"),
    ],
)
def test_a_ticket_that_is_not_good_is_refused_with_its_reason(
    web03: Server, other: Server, more: dict[str, Any], reason: str, words: str
) -> None:
    client = browser()
    assert click(client, ticket(**more)) == f"/login/?whm={reason}"
    page = client.get(f"/login/?whm={reason}").content.decode()
    assert words in page
    assert not User.objects.exists()
    assert "_auth_user_id" not in client.session


def test_a_ticket_of_one_server_never_opens_another(web03: Server, other: Server) -> None:
    other_pem = tickets.new_key()
    register_key(other, tickets.public_key(other_pem), ADMIN)
    assert click(browser(), ticket(pem=other_pem)) == "/login/?whm=invalid"
    assert click(browser(), ticket(server="web04")) == "/login/?whm=invalid"
    assert click(browser(), ticket(pem=other_pem, server="web04")).endswith("?server=web04")


@pytest.mark.parametrize("text", ["", "x", "ea4whm1.a.b", "ea4whm1..", "\0", "a" * 5000])
def test_anything_else_is_refused_as_no_ticket(web03: Server, text: str) -> None:
    assert click(browser(), text) == "/login/?whm=invalid"


def test_a_reason_that_nobody_gave_is_not_shown(db: None) -> None:
    page = browser().get("/login/?whm=<b>call+this+number</b>").content.decode()
    assert "call this number" not in page
    assert 'role="alert"' not in page


def test_a_ticket_says_nothing_of_where_it_leads(web03: Server) -> None:
    answer = browser().post(
        "/whm/?next=https://evil.example.test/", {"ticket": ticket(), "next": "//evil.example.test"}
    )
    assert answer.headers["Location"] == "/whm/enter/"


def test_a_ticket_is_taken_from_the_body_of_a_form_only(web03: Server) -> None:
    client = browser()
    answer = client.get(f"/whm/?ticket={ticket()}")
    assert answer.headers["Location"] == "/"
    assert client.post(f"/whm/?ticket={ticket()}").headers["Location"] == "/login/?whm=invalid"
    assert not WhmTicket.objects.exists()


def test_answers_to_a_ticket_are_kept_by_nobody(web03: Server) -> None:
    client = browser()
    for answer in (client.post("/whm/", {"ticket": ticket()}), client.get("/whm/enter/")):
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Referrer-Policy"] == "same-origin"


def test_whoever_sends_many_bad_tickets_waits(web03: Server) -> None:
    for _ in range(FAILURES_A_MINUTE):
        assert click(browser(), "x") == "/login/?whm=invalid"
    assert click(browser(), ticket()) == "/login/?whm=wait"


def test_the_address_of_the_panel_is_the_one_that_is_set(settings: Any) -> None:
    request = RequestFactory().post("/whm/", SERVER_NAME="localhost")
    assert own_origin(request) == "http://localhost"
    settings.PANEL_URL = "https://panel.example.test/"
    assert own_origin(request) == "https://panel.example.test"


def test_a_panel_below_a_path_takes_the_tickets_for_its_host(settings: Any, web03: Server) -> None:
    settings.PANEL_URL = "https://panel.example.test:8443/ea4/"
    meant = ticket(audience="https://panel.example.test:8443")
    assert click(browser(), meant) == f"{MPM}?server=web03"


@pytest.mark.parametrize(
    ("hosts", "known"),
    [
        (["panel.example.test"], True),
        (["panel.example.test", "localhost", "127.0.0.1"], True),
        (["panel.example.test", "other.example.test"], False),
        ([".example.test"], False),
        (["*"], False),
    ],
)
def test_a_name_that_a_client_may_choose_is_no_address_of_the_panel(
    settings: Any, web03: Server, hosts: list[str], known: bool
) -> None:
    """Whoever gets a ticket for another panel could otherwise hand it in here, under that name."""
    settings.ALLOWED_HOSTS = hosts
    settings.HTTPS = True
    secure = {"secure": True, "SERVER_NAME": "panel.example.test", "SERVER_PORT": "443"}
    meant = ticket(audience="https://panel.example.test")
    answer = Client().post("/whm/", {"ticket": meant}, **secure)  # type: ignore[arg-type]
    assert answer.headers["Location"] == ("/whm/enter/" if known else "/login/?whm=address")
    assert WhmTicket.objects.exists() is known
    assert [one.code for one in of_the_panel() if one.code == "no_panel_address"] == (
        [] if known else ["no_panel_address"]
    )
    settings.PANEL_URL = "https://panel.example.test"
    assert not [one for one in of_the_panel() if one.code == "no_panel_address"]


def test_an_address_in_plain_http_is_reported_and_takes_no_ticket(
    settings: Any, web03: Server
) -> None:
    settings.PANEL_URL = "http://panel.example.test"
    assert click(browser(), ticket()) == "/login/?whm=address"
    page = browser().get("/login/?whm=address").content.decode()
    assert "set PANEL_URL to its https address" in page
    assert "no_panel_address" in {one.code for one in of_the_panel()}


def test_used_tickets_are_forgotten_when_they_would_have_expired_anyway(web03: Server) -> None:
    assert click(browser(), ticket()).startswith(MPM)
    WhmTicket.objects.update(expires_at=timezone.now() - timedelta(minutes=5))
    assert click(browser(), ticket()).startswith(MPM)
    assert WhmTicket.objects.count() == 1


# -- somebody who is signed in already ----------------------------------------------------------


def test_an_administrator_who_clicks_in_whm_stays_an_administrator(web03: Server) -> None:
    client = browser()
    client.force_login(person("ada", "administrator"))
    assert click(client, ticket()) == f"{MPM}?server=web03"
    assert client.get("/users/").status_code == 200
    assert not Event.objects.filter(kind="whm.signed_in").exists()


def test_a_session_from_one_whm_gives_way_to_one_from_another(
    inside: Client, other: Server
) -> None:
    pem = tickets.new_key()
    register_key(other, tickets.public_key(pem), ADMIN)
    assert click(inside, ticket(pem=pem, server="web04")) == f"{MPM}?server=web04"
    assert inside.get(f"{MPM}?server=web04").status_code == 200
    assert inside.get(f"{MPM}?server=web03").status_code == 404


def test_whoever_is_signed_in_is_told_why_a_ticket_did_not_open_anything(inside: Client) -> None:
    assert inside.get("/login/?whm=used").status_code == 302
    assert "was already used" in inside.get("/").content.decode()


# -- what a session is worth -------------------------------------------------------------------


def test_a_session_from_whm_reads_its_server_and_changes_nothing(inside: Client) -> None:
    for path in ("/", MPM, HISTORY, "/software/easyapache4/doctor/", "/servers/web03/", "/help/"):
        assert inside.get(path).status_code == 200, path
    token = inside.cookies["csrftoken"].value
    form = {"server": "web03", "mpm": "event", "csrfmiddlewaretoken": token}
    assert inside.post(f"{MPM}review/", form).status_code == 403


def test_every_page_that_is_not_named_is_closed_to_a_session_from_whm(
    inside: Client, admin: Client
) -> None:
    """A page that is added later is closed until somebody says how it keeps to one server."""
    names = set()
    for path, pattern in views_of(get_resolver().url_patterns):
        name, address = pattern.name or "", "/" + re.sub("<[^>]+>", "1", path).lstrip("/")
        names.add(name)
        if name in OPEN or not getattr(pattern.callback, "login_required", True):
            continue
        if path.startswith("/^"):
            continue  # /json-api/, with a door of its own
        answer = inside.get(address)
        assert answer.status_code in (403, 404), (name, address, answer.status_code)
    assert names >= OPEN


@pytest.mark.parametrize(
    "path",
    [
        *("/users/", "/tokens/", "/webhooks/", "/servers/", "/password/"),
        *(f"{HISTORY}events.json", "/software/easyapache4/profiles/"),
    ],
)
def test_a_closed_page_says_what_the_session_opens(inside: Client, path: str) -> None:
    answer = inside.get(path)
    assert answer.status_code == 403
    assert "You signed in from WHM. That opens web03 only." in answer.content.decode()


def test_nothing_of_another_server_is_shown(inside: Client, other: Server) -> None:
    change = request_change(other, Choice.parse("event"), actor=ADMIN, reason="a secret reason")
    preview = request_preview(other, Choice.parse("worker"), ADMIN)
    for path in (
        *(f"{MPM}?server=web04", f"{MPM}plan/?server=web04&mpm=event", "/servers/web04/"),
        *("/software/easyapache4/?server=web04", "/software/easyapache4/doctor/?server=web04"),
        *(f"{HISTORY}{change.pk}/", f"{HISTORY}{change.pk}/live/", f"{HISTORY}{change.pk}/log.txt"),
        *(f"{MPM}review/{preview.uuid}/", f"{MPM}review/{preview.uuid}/answer/"),
        *(f"{HISTORY}{change.pk}/rollback/", f"{HISTORY}?of=web04"),
        *(f"{HISTORY}export.csv?of=web04", f"{HISTORY}export.json?of=web04"),
    ):
        assert inside.get(path).status_code == 404, path
    for path in (
        *("/", HISTORY, f"{HISTORY}?text=secret", f"{HISTORY}?text=%23{change.pk}"),
        *("/tools/?q=server", "/tools/?q=secret", "/tools/?q=web0", f"/tools/?q=%23{change.pk}"),
        *("/tools/found/?q=secret", "/tools/found/?q=web0", f"/tools/found/?q={change.pk}"),
    ):
        assert inside.get(path).status_code == 200, path
        page = inside.get(path).content.decode()
        assert "a secret reason" not in page, path
        assert "web04" not in page, path
    for form in ("csv", "json"):
        answer = inside.get(f"{HISTORY}export.{form}")
        text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
        assert "web04" not in text


def test_no_page_that_is_open_names_another_server(
    inside: Client, web03: Server, other: Server
) -> None:
    """Whatever an open page shows besides its own server: a menu, a table, a notice."""
    own = request_change(web03, Choice.parse("event"), actor=ADMIN)
    preview = request_preview(web03, Choice.parse("worker"), ADMIN)
    values = {"pk": own.pk, "uuid": preview.uuid, "form": "csv", "key": "how-to/monitor"}
    names = {"server": "web03", "package": "ea-apache24"}
    opened = set()
    for path, pattern in views_of(get_resolver().url_patterns):
        name = pattern.name or ""
        if name not in OPEN:
            continue
        chosen = values | {"name": names.get(name, "web03")}
        address = re.sub("<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", path).format_map(chosen)
        answer = inside.get(f"/{address.lstrip('/')}")
        if answer.status_code != 200:
            continue
        opened.add(name)
        text = b"".join(answer) if answer.streaming else answer.content
        assert b"web04" not in text, address
    assert opened >= {"home", "ea4", "packages", "package", "mpm", "mpm-plan", "doctor", "server"}
    assert opened >= {"history", "history-export", "change", "change-live", "review", "tools"}


def test_a_session_from_whm_makes_no_share_link(inside: Client, web03: Server) -> None:
    change = request_change(web03, Choice.parse("event"), actor=ADMIN)
    token = inside.cookies.get("csrftoken")
    form = {"days": "7", "csrfmiddlewaretoken": token.value if token else ""}
    inside.get(f"{HISTORY}{change.pk}/")
    form["csrfmiddlewaretoken"] = inside.cookies["csrftoken"].value
    assert inside.post(f"{HISTORY}{change.pk}/share/", form).status_code == 403


def test_a_session_from_whm_ends_after_an_hour_however_much_it_is_used(inside: Client) -> None:
    inside.get(f"{MPM}?server=web03")
    inside.get("/")
    left = (inside.session.get_expiry_date() - timezone.now()).total_seconds()
    assert LASTS - 60 < left <= LASTS


def test_where_the_panel_says_so_a_whm_user_with_all_privileges_may_change(web03: Server) -> None:
    set_may_change(web03, True, ADMIN)
    root, reseller = browser(), browser()
    assert click(root, ticket()).startswith(MPM)
    assert click(reseller, ticket(user="support", root=False)).startswith(MPM)
    ended = {}
    for client in (root, reseller):
        client.get(f"{MPM}?server=web03")
        token = client.cookies["csrftoken"].value
        form = {"server": "web03", "mpm": "event", "csrfmiddlewaretoken": token}
        ended[client] = client.post(f"{MPM}review/", form)
    assert ended[reseller].status_code == 403
    assert ended[root].status_code == 302
    assert "/review/" in ended[root].headers["Location"]
    assert Event.objects.get(kind="preview.requested").actor_name == "root@web03 (WHM)"
    assert root.get("/tokens/").status_code == 403


@pytest.mark.parametrize("root", [True, False])
def test_a_session_ends_when_its_user_signs_in_with_other_privileges(
    web03: Server, root: bool
) -> None:
    first, second = browser(), browser()
    click(first, ticket(user="support", root=root))
    assert first.get(f"{MPM}?server=web03").status_code == 200
    click(second, ticket(user="support", root=root))
    assert first.get(f"{MPM}?server=web03").status_code == 200
    click(second, ticket(user="support", root=not root))
    assert first.get(f"{MPM}?server=web03").status_code == 302
    assert second.get(f"{MPM}?server=web03").status_code == 200


def test_a_change_by_a_whm_user_names_them_in_the_history(web03: Server) -> None:
    set_may_change(web03, True, ADMIN)
    client = browser()
    click(client, ticket())
    preview = request_preview(web03, Choice.parse("event"), ADMIN)
    client.get(f"{MPM}review/{preview.uuid}/")
    token = client.cookies["csrftoken"].value
    answer = client.post(
        f"{MPM}review/{preview.uuid}/confirm/", {"csrfmiddlewaretoken": token, "when": "now"}
    )
    assert answer.status_code == 302
    for change in Change.objects.all():
        assert change.actor_name == "root@web03 (WHM)"


def test_a_whm_user_with_changes_reviews_a_rollback_and_only_of_their_own_server(
    web03: Server, other: Server
) -> None:
    set_may_change(web03, True, ADMIN)
    change = carried_out(web03, Choice.parse("event"))
    foreign = carried_out(other, Choice.parse("event"))
    client = browser()
    click(client, ticket())
    page = client.get(f"{HISTORY}{change.pk}/rollback/").content.decode()
    asks = f"{HISTORY}{change.pk}/rollback/plan/"
    assert f'action="{asks}"' in page
    form = {"csrfmiddlewaretoken": client.cookies["csrftoken"].value}
    answer = client.post(asks, form)
    preview = Preview.objects.get()
    assert answer.headers["Location"].startswith(f"{HISTORY}{change.pk}/rollback/{preview.uuid}/")
    assert client.get(answer.headers["Location"]).status_code == 200
    assert client.post(f"{HISTORY}{foreign.pk}/rollback/plan/", form).status_code == 404
    assert client.get(f"{HISTORY}{foreign.pk}/rollback/{preview.uuid}/").status_code == 404


@pytest.mark.parametrize("ends", ["removed", "replaced", "server", "account"])
def test_a_session_ends_with_what_it_rests_on(inside: Client, web03: Server, ends: str) -> None:
    if ends == "removed":
        remove_key(web03, ADMIN)
    elif ends == "replaced":
        register_key(web03, tickets.public_key(tickets.new_key()), ADMIN)
    elif ends == "server":
        Server.objects.update(active=False)
    else:
        User.objects.filter(whm__name="root").update(is_active=False)
    assert inside.get(f"{MPM}?server=web03").headers["Location"].startswith("/login/")


@pytest.mark.parametrize("ends", ["removed", "replaced", "removed and registered again"])
def test_a_ticket_that_was_redeemed_with_a_key_does_not_outlive_it(
    web03: Server, ends: str
) -> None:
    client = browser()
    text = ticket()
    client.post("/whm/", {"ticket": text})
    if ends == "replaced":
        register_key(web03, tickets.public_key(tickets.new_key()), ADMIN)
    else:
        remove_key(web03, ADMIN)
    if ends == "removed and registered again":
        register_key(web03, KEY, ADMIN)
    assert client.get("/whm/enter/").headers["Location"] == "/login/?whm=expired"
    assert "_auth_user_id" not in client.session
    if ends == "removed and registered again":
        assert click(browser(), text) == "/login/?whm=used"


def test_a_key_that_is_replaced_while_its_ticket_is_verified_redeems_nothing(
    web03: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced_meanwhile(*args: Any, **more: Any) -> str:
        register_key(web03, tickets.public_key(tickets.new_key()), ADMIN)
        return fault(*args, **more)

    fault = tickets.fault
    monkeypatch.setattr(tickets, "fault", replaced_meanwhile)
    assert click(browser(), ticket()) == "/login/?whm=unknown"
    assert not WhmTicket.objects.exists()


def test_a_right_that_is_taken_back_ends_at_once(web03: Server) -> None:
    set_may_change(web03, True, ADMIN)
    client = browser()
    click(client, ticket())
    assert "From WHM: this server only" in client.get(f"{MPM}?server=web03").content.decode()
    set_may_change(web03, False, ADMIN)
    token = client.cookies["csrftoken"].value
    form = {"server": "web03", "mpm": "event", "csrfmiddlewaretoken": token}
    assert client.post(f"{MPM}review/", form).status_code == 403


def test_an_account_that_is_disabled_does_not_come_in_from_whm_either(inside: Client) -> None:
    User.objects.filter(whm__name="root").update(is_active=False)
    assert click(browser(), ticket()) == "/login/?whm=disabled"


def test_an_account_from_whm_gets_neither_a_role_nor_a_password(
    inside: Client, admin: Client
) -> None:
    account = User.objects.get(whm__name="root")
    assert not account.has_usable_password()
    with pytest.raises(BadRequest, match="signs in from WHM only"):
        set_role(account, "administrator", ADMIN)
    with pytest.raises(BadRequest, match="signs in from WHM only"):
        reset_password(account, ADMIN)
    assert "root@web03" not in admin.get("/users/").content.decode()
    assert admin.post(f"/users/{account.pk}/", {"action": "administrator"}).status_code == 404
    # And were it given one all the same, a password opens nothing.
    account.set_password("a long enough one")
    account.save()
    client = Client()
    client.post("/login/", {"username": account.username, "password": "a long enough one"})
    assert client.get("/").status_code == 403


# -- keys --------------------------------------------------------------------------------------


def test_only_an_administrator_registers_a_key(
    admin: Client, support: Client, other: Server
) -> None:
    form = {"action": "register", "key": f" {KEY} "}
    assert support.post("/servers/web04/whm/", form).status_code == 403
    with pytest.raises(NotAllowed):
        register_key(other, KEY, Actor(name="sue", role="support"))
    assert admin.post("/servers/web04/whm/", form, follow=True).status_code == 200
    page = admin.get("/servers/web04/").content.decode()
    assert WhmKey.objects.get().registered_by == "ada"
    assert Event.objects.filter(kind="whm.key_registered", server_name="web04").count() == 1
    other.kind = "real"
    other.save()
    page = admin.get("/servers/web04/").content.decode()
    assert tickets.fingerprint(KEY) in page
    assert "View this server only." in page
    admin.post("/servers/web04/whm/", {"action": "change"})
    assert WhmKey.objects.get().may_change
    admin.post("/servers/web04/whm/", {"action": "remove"})
    assert not WhmKey.objects.exists()


def test_what_is_no_key_is_refused_by_the_page(admin: Client, other: Server) -> None:
    answer = admin.post("/servers/web04/whm/", {"action": "register", "key": "x"}, follow=True)
    assert "not the public key of a server" in answer.content.decode()
    assert not WhmKey.objects.exists()


def test_another_key_begins_with_viewing_only(web03: Server) -> None:
    set_may_change(web03, True, ADMIN)
    register_key(web03, KEY, ADMIN)
    assert WhmKey.objects.get().may_change, "the same key changes nothing"
    register_key(web03, tickets.public_key(tickets.new_key()), ADMIN)
    assert not WhmKey.objects.get().may_change


def test_the_command_line_registers_shows_and_removes_a_key(
    other: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("mpm", "server", "whm", "web04", "--public-key", KEY, "--changes")
    said = capsys.readouterr().out
    assert tickets.fingerprint(KEY) in said
    assert WhmKey.objects.get().may_change
    call_command("mpm", "server", "whm", "web04", "--no-changes")
    assert not WhmKey.objects.get().may_change
    call_command("mpm", "server", "whm", "web04", "--remove")
    assert not WhmKey.objects.exists()
