"""The functions of the WHM API face that look: profiles, packages, what EasyApache 4 says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.utils import timezone

from easyapache.ea4.package_metadata import Description, Particulars
from easyapache.ea4.profile import Package
from mpm.servers.inventory import record_particulars
from mpm.servers.models import SavedProfile, Server
from tests.api.conftest import (
    APACHE,
    PREFORK,
    TO_EVENT,
    AddServer,
    AddToken,
    Whm,
    profile_with,
    refused,
)

# -- EasyApache 4 -------------------------------------------------------------------------------


def test_profiles_are_listed_with_what_is_active(server: Server, whm: Whm) -> None:
    data = whm("ea4_list_profiles")["data"]
    assert data["cpanel"][0]["path"] == "default.json"
    assert len(data["cpanel"]) > 3
    for item in data["cpanel"]:
        assert isinstance(item["version"], str)
        assert item["active"] in (0, 1)
        assert isinstance(item["validation_data"]["not_on_server"], list)
    assert data["custom"] == []


def test_a_profile_is_saved_once(server: Server, whm: Whm) -> None:
    values = {"filename": "mine", "name": "Mine", "pkg": list(PREFORK), "tag": ["a", "b"]}
    saved = whm("ea4_save_profile", **values)
    assert saved["data"]["path"].endswith("/custom/mine.json")
    again = whm("ea4_save_profile", **values)
    assert refused(again)
    assert again["data"]["already_exists"] == 1
    assert whm("ea4_save_profile", overwrite="1", **values)["metadata"]["result"] == 1
    custom = whm("ea4_list_profiles")["data"]["custom"]
    assert [(item["name"], item["path"], item["tags"], item["version"]) for item in custom] == [
        ("Mine", "mine.json", ["a", "b"], "0")
    ]
    wrongs: tuple[dict[str, Any], ...] = (
        {"filename": "../x"},
        {"filename": ""},
        {"name": ""},
        {"pkg": ["-x"]},
        {"pkg": []},
    )
    for wrong in wrongs:
        assert refused(whm("ea4_save_profile", **{**values, **wrong}))


def test_a_token_for_some_servers_has_no_say_in_the_profiles_of_all(
    server: Server, add_token: AddToken, whm: Whm
) -> None:
    values = {"filename": "mine", "name": "Mine", "pkg": list(PREFORK)}
    for confined in (
        add_token("change", servers=["web03"]),
        add_token("change", sandbox=True),
        add_token("admin", servers=["web03"]),
    ):
        auth = f"whm root:{confined.text}"
        assert "all servers share" in refused(whm("ea4_save_profile", auth=auth, **values))
        assert whm("ea4_list_profiles", auth=auth)["data"]["custom"] == []
    assert not SavedProfile.objects.exists()
    free = f"whm root:{add_token('change').text}"
    assert whm("ea4_save_profile", auth=free, **values)["metadata"]["result"] == 1


def test_the_content_of_metainfo_is_that_of_the_server(add_server: AddServer, whm: Whm) -> None:
    add_server("web01")
    add_server("bare", particulars=Particulars())
    own = {"default_php_package": "ea-php99", "tech_domains": []}
    add_server("own", particulars=Particulars(metainfo=own))
    shipped = whm("ea4_metainfo", server="web01")["data"]
    assert set(shipped) == {
        "oldest_supported_version",
        "container_based_packages",
        "additional_packages",
        "obs_project_aliases",
        "default_directoryindex",
        "default_php_handler",
        "default_php_package",
        "default_phpfpm_security_limit_extensions",
        "tech_domains",
    }
    assert whm("ea4_metainfo", server="own")["data"] == own
    bare = whm("ea4_metainfo", server="bare")
    assert (bare["data"], bare["metadata"]["result"]) == ({}, 1)


def test_recommendations_are_those_of_packages_that_are_installed(
    add_server: AddServer, whm: Whm
) -> None:
    add_server("plain")
    add_server("dso", profile_with(*PREFORK, "ea-php74-php"))
    assert whm("ea4_recommendations", server="plain")["data"] == {}
    data = whm("ea4_recommendations", server="dso")["data"]
    assert list(data) == ["ea-php74-php"]
    (advice,) = data["ea-php74-php"]
    assert (advice["on"], advice["level"]) == ("add", "danger")
    assert advice["name"]
    assert advice["url"].startswith("https://")
    assert [option["recommended"] for option in advice["options"]] == [True, False]
    assert [option.get("items") for option in advice["options"]] == [
        [f"{APACHE}-mod_ruid2", f"{APACHE}-mod_mpm_itk"],
        None,
    ]
    assert all(option["text"] for option in advice["options"])


def test_further_prefixes_are_those_of_the_server(add_server: AddServer, whm: Whm) -> None:
    add_server("plain")
    add_server("two", particulars=Particulars(prefixes=("altea", "other")))
    function = "ea4_get_additional_pkg_prefixes"
    assert whm(function, server="plain")["data"] == {"additional_pkg_prefixes": []}
    assert whm(function, server="two")["data"] == {"additional_pkg_prefixes": ["altea", "other"]}


# -- packages -------------------------------------------------------------------------------------


def test_packages_are_listed_by_state(server: Server, whm: Whm) -> None:
    def names(state: str) -> set[str]:
        data = whm("package_manager_list_packages", state=state)["data"]["packages"]
        return {item["package"] for item in data}

    assert names("installed") | names("not_installed") == names("any")
    assert not names("installed") & names("not_installed")
    assert f"{APACHE}-mod_mpm_prefork" in names("installed")
    assert f"{APACHE}-mod_mpm_event" in names("not_installed")
    assert names("updatable") <= names("installed")
    assert refused(whm("package_manager_list_packages", state="odd"))


def test_package_info_is_asked_by_name_or_by_namespace(server: Server, whm: Whm) -> None:
    data = whm(
        "package_manager_get_package_info",
        package=f"{APACHE}-mod_mpm_event",
        **{"package-1": f"{APACHE}-mod-mpm-prefork"},
    )["data"]["packages"]
    assert [item["package"] for item in data] == [
        f"{APACHE}-mod_mpm_event",
        f"{APACHE}-mod_mpm_prefork",
    ]
    event, prefork = data
    assert (event["state"], event["version_installed"]) == ("not_installed", "")
    assert prefork["version_installed"] == prefork["version_latest"]
    assert f"{APACHE}-mod_cgid" in event["pkg_dep"]["requires"]
    assert f"{APACHE}-mpm = forked" in event["pkg_dep"]["conflicts"]
    space = whm("package_manager_get_package_info", ns="ea")["data"]["packages"]
    assert len(space) > 50
    assert refused(whm("package_manager_get_package_info"))
    assert refused(whm("package_manager_get_package_info", ns="ea", package="ea-apache24"))
    assert refused(whm("package_manager_get_package_info", ns="other"))


def test_a_package_is_described_as_its_server_does(add_server: AddServer, whm: Whm) -> None:
    event, prefork = f"{APACHE}-mod_mpm_event", f"{APACHE}-mod_mpm_prefork"
    described = Description(
        "Short", "Long\nand longer", "MIT", "Some/Group", "http://a.example/", 4711
    )
    add_server(
        particulars=Particulars(
            installed={prefork: described}, offered={event: replace(described, size=12)}
        )
    )
    data = whm("package_manager_get_package_info", package=[prefork, event, f"{APACHE}-mod_ssl"])
    known, offered, shipped = data["data"]["packages"]
    wanted = {
        "license": "MIT",
        "pkg_group": "Some/Group",
        "short_description": "Short",
        "long_description": "Long\nand longer",
        "more_info_url": "http://a.example/",
    }
    assert known == {**known, **wanted, "size": 4711, "state": "installed", "repo_name": "NYI"}
    assert offered == {**offered, **wanted, "size": 12, "state": "not_installed"}
    assert (shipped["license"], shipped["size"]) == ("ASL 2.0", 0)
    assert shipped["short_description"] == "TLS"
    bare = Particulars(offered={event: Description(summary="Short")})
    record_particulars(Server.objects.get(), bare, timezone.now())
    (plain,) = whm("package_manager_get_package_info", package=event)["data"]["packages"]
    assert (plain["long_description"], plain["more_info_url"]) == ("Short", None)


def test_what_the_package_manager_is_told_to_pass_over_is_not_seen(
    add_server: AddServer, whm: Whm
) -> None:
    excludes = [f"{APACHE}-mod_mpm_worker", f"{APACHE}-mod_ss*"]
    profile = profile_with()
    add_server(profile=replace(profile, facts={**profile.facts, "excludes": excludes}))
    names = [f"{APACHE}-mod_mpm_worker", f"{APACHE}-mod_mpm_event", f"{APACHE}-mod_ssl"]

    def seen(function: str, **more: Any) -> list[str]:
        return [item["package"] for item in whm(function, **more)["data"]["packages"]]

    info = "package_manager_get_package_info"
    assert seen(info, package=names) == names[1:]
    assert seen(info, package=names, **{"disable-excludes": "0"}) == names[1:]
    assert seen(info, package=names, **{"disable-excludes": "1"}) == names
    assert names[0] not in seen(info, ns="ea")
    assert names[0] in seen(info, ns="ea", **{"disable-excludes": "1"})
    assert names[0] not in seen("package_manager_list_packages")
    assert refused(whm(info, package=names, **{"disable-excludes": "yes"}))


def test_resolving_prefork_to_event_answers_as_documented(server: Server, whm: Whm) -> None:
    data = whm("package_manager_resolve_actions", package=f"{APACHE}-mod_mpm_event")["data"]
    assert data["install"] == sorted(TO_EVENT["install"])
    assert data["uninstall"] == sorted(TO_EVENT["uninstall"])
    assert data["upgrade"] == []
    assert APACHE in data["unaffected"]


def test_with_a_namespace_the_list_is_the_whole_wanted_set(add_server: AddServer, whm: Whm) -> None:
    add_server(profile=profile_with(*PREFORK, f"{APACHE}-mod_suexec"))
    installed = whm("ea4_get_currently_installed_packages")["data"]["packages"]
    wanted = [name for name in installed if name not in TO_EVENT["uninstall"]]
    wanted = [*wanted, *TO_EVENT["install"]]
    whole = whm("package_manager_resolve_actions", package=wanted, ns="ea")["data"]
    assert whole["install"] == sorted(TO_EVENT["install"])
    assert whole["uninstall"] == sorted(TO_EVENT["uninstall"])
    without = [name for name in installed if name != f"{APACHE}-mod_suexec"]
    gone = whm("package_manager_resolve_actions", package=without, ns="ea")["data"]
    assert gone["uninstall"] == [f"{APACHE}-mod_suexec"]
    same = whm("package_manager_resolve_actions", package=installed, ns="ea")["data"]
    assert (same["install"], same["uninstall"]) == ([], [])
    assert refused(whm("package_manager_resolve_actions"))
    assert refused(whm("package_manager_resolve_actions", package="ea-nonsense"))
    both = [f"{APACHE}-mod_mpm_event", f"{APACHE}-mod_mpm_worker"]
    assert refused(whm("package_manager_resolve_actions", package=both))


def test_with_two_namespaces_the_list_is_the_whole_of_both(add_server: AddServer, whm: Whm) -> None:
    base = profile_with(*PREFORK, f"{APACHE}-mod_suexec")
    others = (Package("altea-one", "1", "1", "noarch"), Package("altea-two", "1", "1", "noarch"))
    profile = replace(base, packages=(*base.packages, *others))
    add_server(profile=profile, particulars=Particulars(prefixes=("altea",)))
    suexec = f"{APACHE}-mod_suexec"
    wanted = sorted(profile.names - {suexec, "altea-two"})

    def gone(*spaces: str, package: list[str] = wanted) -> list[str]:
        answer = whm("package_manager_resolve_actions", package=package, ns=list(spaces))
        return list(answer["data"]["uninstall"])

    both = ["altea-two", suexec]
    assert gone("ea", "altea") == gone("altea", "ea") == both
    assert gone("ea") == [suexec]
    assert gone("altea") == ["altea-two"]
    assert gone("ea", "altea", package=sorted(profile.names)) == []
    info = whm("package_manager_get_package_info", ns=["ea", "altea"])["data"]["packages"]
    assert {"altea-one", "altea-two", APACHE} <= {item["package"] for item in info}
    assert "must be one of ea, altea" in refused(
        whm("package_manager_resolve_actions", package=wanted, ns=["ea", "other"])
    )
