"""What is read from files and from other programs' words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyapache.agent.httpd import prober, sites
from easyapache.agent.httpd.apache_config import ApacheConfig, read_config
from easyapache.agent.httpd.apache_files import tokens as tokens_of
from easyapache.agent.inspection import php_dso_sites
from easyapache.agent.packages.rpm import (
    descriptions_from,
    packages_from,
    relations_from,
    verified_from,
)
from easyapache.agent.server import SiteAnswer
from easyapache.ea4.package_metadata import Description
from easyapache.ea4.pins import pinned
from easyapache.ea4.profile import Package
from tests.host.managed import Managed

MAIN = """\
# a comment
Define PORT 8080
Listen 127.0.0.1:${PORT}
Listen [::1]:8081
Listen 443 https
Include conf.modules.d/*.conf
<IfModule mpm_prefork_module>
    MinSpareServers 5
</IfModule>
LogFormat "%h it's \\
continued" common
<VirtualHost *:443 127.0.0.1:8080>
    ServerName one.test
    DocumentRoot "/srv/one"
    SSLEngine on
    ProxyPass / http://127.0.0.1:9000/
</VirtualHost>
<VirtualHost 127.0.0.1:8080>
    ServerName two.test
</VirtualHost>
"""


@pytest.fixture
def conf(tmp_path: Path) -> ApacheConfig:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf.modules.d").mkdir()
    (tmp_path / "conf/httpd.conf").write_text(MAIN)
    (tmp_path / "conf.modules.d/000_mod_mpm_prefork.conf").write_text(
        "LoadModule mpm_prefork_module modules/mod_mpm_prefork.so\nMutex sysvsem\n"
    )
    (tmp_path / "conf.modules.d/900-mpm_itk.conf").write_text(
        "LoadModule mpm_itk_module modules/mpm_itk.so\n"
    )
    return read_config(tmp_path, tmp_path / "conf/httpd.conf")


def test_listeners_are_read_with_variables_and_brackets(conf: ApacheConfig) -> None:
    assert conf.listeners() == [("127.0.0.1", 8080), ("::1", 8081), ("", 443)]
    assert conf.tls_ports() == {443, 8080}


PLAIN = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\"\\")


@given(st.lists(st.text(PLAIN, min_size=1), min_size=1), st.sampled_from([" ", "\t", "  \t"]))
def test_words_are_the_same_with_quotes_and_without(words: list[str], between: str) -> None:
    assert tokens_of(between.join(words)) == words
    assert tokens_of(between.join(f'"{word}"' for word in words)) == words


def test_itk_is_not_counted_as_an_mpm(conf: ApacheConfig) -> None:
    assert [name for name, _ in conf.mpm_lines()] == ["prefork"]
    assert conf.loads_itk()


def test_what_stands_in_ifmodule_is_no_trap(conf: ApacheConfig) -> None:
    assert conf.refused_by("event") == conf.refused_by("worker") == []


def test_virtual_hosts_keep_their_own_directives(conf: ApacheConfig) -> None:
    one, two = conf.virtual_hosts()
    assert (one.name, one.root, one.tls, one.proxied) == ("one.test", "/srv/one", True, True)
    assert (two.name, two.tls, two.proxied) == ("two.test", False, False)
    assert one.addresses == ("*:443", "127.0.0.1:8080")


def test_whoever_runs_php_inside_httpd_is_named_wherever_the_handler_stands(tmp_path: Path) -> None:
    (tmp_path / "php.conf").write_text("AddHandler application/x-httpd-php74 .php\n")
    main = tmp_path / "httpd.conf"
    main.write_text(
        "<VirtualHost *:80>\n  ServerName fpm.test\n</VirtualHost>\n"
        "<VirtualHost *:80>\n  SetHandler application/x-httpd-php\n"
        "  ServerName before.test\n</VirtualHost>\n"
        "<VirtualHost *:80>\n  ServerName included.test\n  Include php.conf\n</VirtualHost>\n"
        "<VirtualHost 192.0.2.1:80>\n  Include php.conf\n</VirtualHost>\n"
    )
    dso = {"ea-php74-php", "ea-apache24"}
    some = php_dso_sites(read_config(tmp_path, main), dso)
    assert some == {"ea-php74-php": ["192.0.2.1:80", "before.test", "included.test"]}
    main.write_text(main.read_text() + "Include php.conf\n")
    everybody = php_dso_sites(read_config(tmp_path, main), dso)["ea-php74-php"]
    assert everybody == ["192.0.2.1:80", "before.test", "fpm.test", "included.test"]


def test_a_file_that_includes_itself_ends(tmp_path: Path) -> None:
    main = tmp_path / "httpd.conf"
    main.write_text("Include httpd.conf\nListen 80\n")
    found = read_config(tmp_path, main)
    assert found.listeners() == [("", 80)]
    assert "levels deep" in found.problems[0]


@given(st.text(alphabet="<>/VirtualHost IfModule\n\\\"'${}:80#Listen", max_size=200))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        main = Path(folder) / "httpd.conf"
        main.write_text(text)
        found = read_config(Path(folder), main)
        found.listeners()
        found.virtual_hosts()
        for mpm in ("event", "worker", "prefork"):
            found.refused_by(mpm)


def test_rpms_answers_are_read() -> None:
    assert packages_from("a\t(none)\t1\t2\tx86_64\nb\t1\t3\t4\tnoarch\nwarning: x\n") == (
        Package("a", "1", "2", "x86_64"),
        Package("b", "3", "4", "noarch", 1),
    )
    gone, edited, cut = verified_from(
        "missing   c /etc/x.conf (Permission denied)\n"
        "S.5....T.  c /etc/y.conf\n"
        "..5....T.    /usr/lib/z.so\n"
    )
    assert (gone.path, gone.missing, gone.config) == ("/etc/x.conf", True, True)
    assert edited.edited
    assert (cut.path, cut.edited) == ("/usr/lib/z.so", False)
    assert relations_from("N a\nR rpmlib(X) <= 1\nR b >= 2-1\nC c \nP a = 1\n") == {
        "a": {"requires": ["b >= 2-1"], "conflicts": ["c"], "provides": ["a = 1"]}
    }


def test_what_rpm_says_of_a_package_may_have_lines_and_lack_parts() -> None:
    text = (
        "a\x1f12\x1fMIT\x1f(none)\x1f\x1fShort\x1fLong\n\tand longer\x1e"
        "b\x1fx\x1fMIT\x1fg\x1fu\x1fs\x1fd\x1e"
        "error: something else\n"
    )
    assert descriptions_from(text) == {
        "a": Description(summary="Short", description="Long\n\tand longer", license="MIT", size=12)
    }


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        ("ea-apache24-mod_mpm_event", True),
        ("ea-*", True),
        ("ea-apache24-mod_mpm_event.x86_64", True),
        ("ea-apache24-mod_mpm_event-0:2.4.67-2.*", True),
        ("ea-apache24", False),
        ("kernel*", False),
    ],
)
def test_a_pattern_pins_what_dnf_would_pin(pattern: str, hit: bool) -> None:
    package = Package("ea-apache24-mod_mpm_event", "2.4.67", "2", "x86_64")
    assert (pinned([pattern], package) is not None) is hit


BEFORE = SiteAnswer("http://x/", "x", "static", 200, "", "text/html", 10)


@pytest.mark.parametrize(
    ("after", "differs"),
    [
        (SiteAnswer("http://x/", "x", "static", 200, "", "text/html", 11), False),
        (SiteAnswer("http://x/", "x", "static", 200, "", "text/html", 12), True),
        (SiteAnswer("http://x/", "x", "static", 503, "", "text/html", 10), True),
        (SiteAnswer("http://x/", "x", "static", 200, "", "text/plain", 10), True),
        (SiteAnswer("http://x/", "x", "static", 200, "http://y/", "text/html", 10), True),
        (SiteAnswer("http://x/", "x", "static", error="refused"), True),
    ],
)
def test_a_site_answers_as_before_within_a_tolerance(after: SiteAnswer, differs: bool) -> None:
    assert bool(sites.difference(BEFORE, after)) is differs


def test_a_site_that_failed_before_may_work_now() -> None:
    broken = SiteAnswer("http://x/", "x", "static", 500, "", "text/html", 10)
    assert sites.difference(broken, BEFORE) == ""
    assert sites.difference(SiteAnswer("http://x/", "x", "static", error="refused"), BEFORE) == ""


_SEEN = st.tuples(
    st.integers(0, 10**6),
    st.floats(0, 10**5),
    st.sampled_from(["ok", "slow", "reset", "refused"]),
)


@given(st.lists(_SEEN, max_size=1500))
def test_a_strip_is_short_ordered_and_hides_nothing_bad(seen: list[tuple[int, float, str]]) -> None:
    strip = prober.strip(seen)
    assert len(strip) <= prober.STRIP
    assert [at for at, _, _ in strip] == sorted(at for at, _, _ in strip)
    assert set(strip) <= set(seen)
    if any(what == "refused" for _, _, what in seen):
        assert any(what == "refused" for _, _, what in strip)
    if seen and all(what == "ok" for _, _, what in seen):
        assert max(wait for _, wait, _ in strip) == max(wait for _, wait, _ in seen)


def test_looking_at_a_server_takes_no_lock_and_little_time(managed: Managed) -> None:
    import time

    from tests.host.test_obstacles import holding

    with holding(managed.config.root / "var/lib/rpm/.rpm.lock"):
        times = []
        for _ in range(5):
            begun = time.monotonic()
            managed.server.inspect()
            times.append(time.monotonic() - begun)
    # 0.08 s on an idle machine; tests share theirs.
    assert min(times) < 1.0


def test_edited_module_files_and_own_relations_are_facts(managed: Managed) -> None:
    path = managed.config.server_root / "conf.modules.d/000_mod_mpm_prefork.conf"
    path.write_text(path.read_text() + "# mine\n")
    facts = managed.server.inspect().facts
    assert facts["edited_config_files"] == {
        "/etc/apache2/conf.modules.d/000_mod_mpm_prefork.conf": "ea-apache24-mod_mpm_prefork"
    }
    assert facts["threads"] is True
    assert facts["safe_thread_polling"] is True
    assert facts["httpd_version"].startswith("2.4.")
