"""A lab is a real server: what dnf installs is what httpd runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import website
from lab.catalog import profile_names, profile_packages
from lab.pristine import STOCKS
from lab.process import LabError
from lab.repository import Repository, Variant
from lab.server import Lab
from lab.system import distribution
from tests.labs import MakeLab

pytestmark = pytest.mark.lab

PREFIX = "ea-apache24-mod_"


def _promises_kept(lab: Lab) -> None:
    answers = {site.kind: lab.fetch(site) for site in lab.sites}
    assert {kind: answer.status for kind, answer in answers.items()} == {
        site.kind: site.status for site in lab.sites
    }
    assert "never changes" in answers["static"].text
    assert answers["cgi"].text.startswith("script ran")
    assert answers["php"].text.startswith("php ran")
    assert answers["redirect"].headers["location"] == "http://static.lab.test/"
    assert "behind TLS" in answers["tls"].text


@pytest.mark.parametrize("profile", profile_names())
def test_a_stock_profile_installs_whole_and_serves_every_site(
    profile: str, make_lab: MakeLab
) -> None:
    lab = make_lab(profile).up()
    assert set(profile_packages(profile)) <= lab.packages()
    assert lab.rpm("-Va") == ""
    assert lab.dnf("check") == ""
    _promises_kept(lab)


def test_the_default_is_easyapaches_own(make_lab: MakeLab) -> None:
    status = make_lab("default").up().status()
    assert (status.installed, status.running, status.itk) == (("prefork",), "prefork", False)
    assert {f"{PREFIX}ruid2", f"{PREFIX}cgi"} <= make_lab("default").packages()


@pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
def test_httpd_runs_the_mpm_that_dnf_brought(mpm: str, make_lab: MakeLab) -> None:
    lab = make_lab("worker" if mpm == "prefork" else "default").up()
    lab.dnf("-y", "install", f"{PREFIX}mpm_{mpm}", "--allowerasing")
    before = lab.status()
    assert before.installed == (mpm,)
    assert before.running != mpm, "dnf alone changes no running httpd"
    lab.down().up()
    assert lab.status().running == mpm
    assert f"Server MPM:     {mpm}" in lab.httpd("-V")
    assert lab.rpm("-Va") == ""
    _promises_kept(lab)


def test_itk_comes_and_goes_and_gives_every_site_its_own_user(make_lab: MakeLab) -> None:
    lab = make_lab("worker").up()
    lab.dnf("-y", "install", f"{PREFIX}mpm_itk", "--allowerasing")
    lab.down().up()
    status = lab.status()
    assert (status.installed, status.running, status.itk) == (("prefork",), "prefork", True)
    cgi = next(site for site in lab.sites if site.kind == "cgi")
    assert f"uid {website.ACCOUNT_ID}" in lab.fetch(cgi).text.splitlines()
    _promises_kept(lab)
    lab.dnf("-y", "remove", f"{PREFIX}mpm_itk")
    lab.down().up()
    assert not lab.status().itk
    assert f"uid {website.ACCOUNT_ID}" not in lab.fetch(cgi).text.splitlines()


def test_php_runs_inside_httpd_where_the_module_is_installed(make_lab: MakeLab) -> None:
    lab = make_lab("default", extra=["ea-php74-php"]).up()
    php = next(site for site in lab.sites if site.kind == "php")
    assert "through apache2handler" in lab.fetch(php).text
    lab.down()
    lab.dnf("-y", "install", f"{PREFIX}mpm_event", "--allowerasing")
    assert "ea-php74-php" not in lab.packages()
    lab.up()
    assert "through cgi-fcgi" in lab.fetch(php).text


def test_a_threaded_mpm_refuses_the_php_module(make_lab: MakeLab) -> None:
    """The module is the real one, so httpd's own objection is too."""
    lab = make_lab("event")
    lab.rpm("-i", "--nodeps", "--nosignature", _rpm_of(lab, "ea-php74-php"))
    description = lab.httpd("-t", check=False)
    assert "not compiled to be threadsafe" in description
    with pytest.raises(LabError, match="threadsafe"):
        lab.up()


def test_every_known_module_file_can_be_loaded_together(make_lab: MakeLab) -> None:
    """Everything that goes with event, at once: the configuration must still be sound."""
    lab = make_lab("event")
    left_out = {f"{PREFIX}mpm_worker", f"{PREFIX}mpm_prefork", f"{PREFIX}mpm_itk", f"{PREFIX}cgi"}
    left_out |= {f"{PREFIX}ruid2", "ea-apache24-mod-qos"}
    names = sorted(
        name
        for name in lab.dnf("repoquery", "-q", "--qf", "%{name}").split()
        if name.startswith("ea-apache24") and name not in left_out
    )
    lab.dnf("-y", "install", *names)
    assert "Syntax OK" in lab.httpd("-t")
    modules = lab.httpd("-M")
    assert "http2_module" in modules
    assert "proxy_hcheck_module" in modules
    lab.up()
    _promises_kept(lab)


def test_the_status_page_shows_the_scoreboard_and_limits_are_cpanels(make_lab: MakeLab) -> None:
    lab = make_lab("minimal").up()
    page = lab.fetch(website.Site("lab.test", f"{website.STATUS_PATH}?auto", "status"))
    fields = dict(line.split(": ", 1) for line in page.text.splitlines() if ": " in line)
    assert len(fields["Scoreboard"]) == 150
    assert "Total Accesses" in fields
    conf = (lab.root / "etc/apache2/conf/httpd.conf").read_text()
    assert "MaxRequestWorkers 150" in conf
    assert "KeepAlive On" in conf


def test_the_starting_points_are_the_stock_profiles_and_two_more() -> None:
    assert set(STOCKS) == {*profile_names(), "event", "minimal"}


def test_an_unknown_stock_is_refused(make_lab: MakeLab) -> None:
    with pytest.raises(LabError, match="unknown stock 'fast'"):
        make_lab("fast")


def test_yum_is_dnf_under_its_older_name(make_lab: MakeLab) -> None:
    lab = make_lab("minimal", yum=True)
    assert str(lab.folder / "bin/yum") in lab.host_config().package_manager
    assert "ea-apache24" in lab.dnf("-q", "list", "--installed")


def test_another_release_can_be_put_in_the_mirrors_place(make_lab: MakeLab) -> None:
    lab = make_lab("minimal").use_repository(Variant(release=2))
    lab.dnf("-y", "upgrade")
    assert "ea-apache24-2.4.68-1" in lab.rpm("-q", "ea-apache24")
    lab.up()
    _promises_kept(lab)


def test_the_distribution_of_this_machine_has_the_payload_the_tests_rely_on() -> None:
    place = distribution()
    assert place.libphp is not None
    assert place.php_cgi is not None
    assert place.module("mpm_itk") is not None


def _rpm_of(lab: Lab, name: str) -> str:
    return str(Repository(Path(lab.setup.repository)).rpm_file(name))
