"""The reader beside the real httpd: on the same files both find the same."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easyapache.agent.httpd.apache_config import ApacheConfig, read_config
from easyapache.agent.httpd.section_conditions import Surroundings
from easyapache.ea4.directives import GOES_WITH, MPMS, SUPPORTED_BY, matches_nothing, names_of_mpm
from lab.catalog import relations
from lab.system import distribution
from tests.places import short_folder

PLACE = distribution()


def program() -> str:
    return str(PLACE.httpd)


def version() -> str:
    said = subprocess.run([program(), "-v"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"Apache/([\d.]+)", said)
    assert found
    return found[1]


VERSION = version()


def static() -> tuple[str, ...]:
    said = subprocess.run([program(), "-l"], capture_output=True, text=True, check=True).stdout
    return tuple(re.findall(r"^\s+(\w+\.c)$", said, re.MULTILINE))


STATIC = static()


def module(name: str) -> str:
    found = PLACE.module(f"mod_{name}")
    assert found is not None
    return f"LoadModule {name}_module {found}\n"


def run_httpd(root: Path, *words: str, mpm: str = "event") -> subprocess.CompletedProcess[str]:
    """What httpd says of ``root``/httpd.conf."""
    return subprocess.run(
        [program(), "-d", str(root), "-f", "httpd.conf", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={"PATH": os.environ["PATH"], "FROM_OUTSIDE": "8099"},
    )


def read(root: Path, flags: frozenset[str] = frozenset()) -> ApacheConfig:
    around = Surroundings(
        flags=flags, environment={"FROM_OUTSIDE": "8099"}, version=VERSION, static=STATIC
    )
    return read_config(root, root / "httpd.conf", around)


def write(root: Path, text: str, mpm: str = "event") -> None:
    head = module(f"mpm_{mpm}") + module("authz_core") + module("macro")
    (root / "httpd.conf").write_text(
        f"{head}ServerName localhost\nPidFile {root}/pid\nErrorLog {root}/log\n"
        f"DefaultRuntimeDir {root}\nListen 127.0.0.1:8001\n{text}"
    )


TRUE = (
    "<IfModule mpm_event_module>",
    "<IfModule event.c>",
    "<IfModule !prefork.c>",
    "<IfModule !nosuch_module>",
    "<IfModule core.c>",
    "<IfModule core_module>",
    "<IfModule so_module>",
    "<IfModule mod_authz_core.c>",
    "<IfModule macro_module>",
    '<IfModule "authz_core_module">',
    "<IfDefine ASKED>",
    "<IfDefine !OTHER>",
    "<IfDefine WRITTEN>",
    "<IfVersion >= 2.4>",
    "<IfVersion < 3.0.1>",
    "<IfVersion !< 2.2>",
    "<IfVersion ~ ^2\\.4>",
    "<IfVersion /^2/>",
    "<IfFile httpd.conf>",
    "<IfFile !nothing.conf>",
    "<IfDirective ThreadsPerChild>",
    "<IfDirective ServerLimit>",
    "<IfDirective !MinSpareServers>",
    "<IfSection VirtualHost>",
    "<IfSection Macro>",
    "<IFMODULE event.c>",
    "<IfModule  event.c >",
)
FALSE = (
    "<IfModule mpm_prefork_module>",
    "<IfModule !event.c>",
    "<IfModule mod_mpm_event.c>",
    "<IfModule mpm_event.c>",
    "<IfModule mpm_event>",
    "<IfModule event_module>",
    "<IfModule mod_mpm_event.so>",
    "<IfModule EVENT.C>",
    "<IfDefine OTHER>",
    "<IfDefine asked>",
    "<IfDefine UNWRITTEN>",
    "<IfVersion < 2.4>",
    "<IfVersion = 2.2.15>",
    "<IfVersion 2.2.15>",
    "<IfVersion !~ ^2\\.4>",
    "<IfFile nothing.conf>",
    "<IfDirective MinSpareServers>",
    "<IfSection Proxy>",
)


def closing(opening: str) -> str:
    found = re.match(r"<\s*(\w+)", opening)
    assert found
    return f"</{found[1]}>"


def hosts_of(root: Path, *words: str) -> list[str]:
    """The name of every virtual host httpd has, in its order."""
    said = run_httpd(root, "-t", "-D", "DUMP_VHOSTS", *words)
    assert said.returncode == 0, said.stderr
    return re.findall(r"^(?:127\S+|\s+port \d+ namevhost)\s+(\S+) \(", said.stdout, re.MULTILINE)


def hosts_read(conf: ApacheConfig) -> list[str]:
    return [host.name for host in conf.virtual_hosts()]


HOST = "<VirtualHost 127.0.0.1:8001>\nServerName a.test\n</VirtualHost>\n"


@pytest.mark.parametrize("condition", [*TRUE, *FALSE])
def test_a_condition_is_read_as_httpd_reads_it(condition: str) -> None:
    with short_folder() as root:
        text = (
            "Define WRITTEN\nDefine UNWRITTEN\nUnDefine UNWRITTEN\n"
            f"{condition}\nListen 127.0.0.1:8002\n{HOST}{closing(condition)}\n"
        )
        write(root, text)
        conf = read(root, frozenset({"ASKED"}))
        assert hosts_read(conf) == hosts_of(root, "-D", "ASKED")
        expected = [8001, 8002] if condition in TRUE else [8001]
        assert [port for _, port in conf.listeners()] == expected
        assert conf.mentions_port(8002)


def test_a_macro_is_the_one_whose_definition_holds() -> None:
    """Whichever of its definitions stands last."""
    with short_folder() as root:
        macro = "<Macro Site $n>\n<VirtualHost 127.0.0.1:8001>\nServerName {}.$n\n</VirtualHost>\n"
        right, wrong = macro.format("right") + "</Macro>\n", macro.format("wrong") + "</Macro>\n"
        for text in (
            f"<IfDefine NEVER>\n{wrong}</IfDefine>\n{right}Use Site a\n",
            f"{right}<IfModule prefork.c>\n{wrong}</IfModule>\nUse Site a\n",
        ):
            write(root, text)
            assert hosts_read(read(root)) == hosts_of(root) == ["right.a"]


@pytest.mark.parametrize("pattern", ["[!a]*.conf", "[^a]*.conf", "[ab].conf", "?.conf", "[b-z]*"])
def test_an_include_matches_what_it_matches_for_httpd(pattern: str) -> None:
    with short_folder() as root:
        (root / "hosts").mkdir()
        for name in ("a", "b", ".c"):
            host = HOST.replace("a.test", f"{name}.test")
            (root / f"hosts/{name}.conf").write_text(host)
        write(root, f"Include hosts/{pattern}\n")
        assert hosts_read(read(root)) == hosts_of(root) != []


def test_directives_of_the_call_are_one_text() -> None:
    """A section may begin in one of them and end in another."""
    lines = ("<IfDefine NEVER>", "Listen 127.0.0.1:8002", *HOST.splitlines(), "</IfDefine>", " ")
    with short_folder() as root:
        write(root, "")
        for option, around in (
            ("-C", Surroundings(before=lines)),
            ("-c", Surroundings(after=lines)),
        ):
            call = [word for line in lines for word in (option, line)]
            conf = read_config(root, root / "httpd.conf", around)
            assert hosts_read(conf) == hosts_of(root, *call) == []
            assert conf.listeners() == [("127.0.0.1", 8001)]


LINES = st.sampled_from(
    [
        HOST,
        "Include more.conf\n",
        "IncludeOptional none*.conf\n",
        "Include conf.d\n",
        "Include conf.d/[ab].conf\n",
        "Define LATER 8003\n",
        "UnDefine LATER\n",
        "Listen 127.0.0.1:${FROM_OUTSIDE}\n",
        (
            "<Macro Site $n $name>\n<VirtualHost 127.0.0.1:8001>\nServerName $name.$n\n"
            "</VirtualHost>\n</Macro>\nUse Site one two\nUse Site three four\nUndefMacro Site\n"
        ),
        "LogLevel warn \\\n  core:info\n",
        "# <IfModule event.c>\n",
        f"<IfModule !alias_module>\n{module('alias')}</IfModule>\n",
        "<IfModule alias_module>\nAlias /x /y\n" + HOST + "</IfModule>\n",
    ]
)
BLOCKS = st.recursive(
    LINES,
    lambda inner: st.builds(
        lambda condition, parts: f"{condition}\n{''.join(parts)}{closing(condition)}\n",
        st.sampled_from([*TRUE, *FALSE, "<IfDefine LATER>", "<IfModule alias_module>"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(BLOCKS, max_size=6), st.lists(BLOCKS, max_size=2), st.lists(BLOCKS, max_size=2))
def test_generated_configurations_are_read_as_httpd_reads_them(
    main: list[str], more: list[str], below: list[str]
) -> None:
    def flat(blocks: list[str]) -> str:
        return re.sub(r"Include (more\.conf|conf\.d)", "# ", "".join(blocks))

    with short_folder() as root:
        (root / "conf.d/deep").mkdir(parents=True)
        (root / "more.conf").write_text(flat(more))
        (root / "conf.d/a.conf").write_text(flat(below))
        (root / "conf.d/b.conf.off").write_text(HOST)
        (root / "conf.d/deep/c.conf").write_text(HOST)
        write(root, "".join(main))
        said = run_httpd(root, "-t", "-D", "DUMP_INCLUDES", "-D", "ASKED")
        if said.returncode:
            # A macro may not be defined twice, for one; what httpd refuses it does not read on.
            return
        conf = read(root, frozenset({"ASKED"}))
        included = {line.split()[-1] for line in said.stdout.splitlines() if "(" in line}
        assert {str(path) for path in conf.files} == {str(Path(p).resolve()) for p in included}
        assert hosts_read(conf) == hosts_of(root, "-D", "ASKED")


@pytest.mark.parametrize("mpm", MPMS)
@pytest.mark.parametrize("directive", sorted(SUPPORTED_BY))
def test_each_mpm_knows_the_directives_the_table_says(directive: str, mpm: str) -> None:
    with short_folder() as root:
        write(root, f"{directive} 5\n", mpm)
        said = run_httpd(root, "-t")
        known = mpm in SUPPORTED_BY[directive]
        assert (said.returncode == 0) is known, said.stderr
        assert known or "Invalid command" in said.stderr


@pytest.mark.parametrize("condition", [*TRUE, *FALSE, "<If true>"])
@pytest.mark.parametrize("mpm", MPMS)
def test_what_httpd_refuses_under_an_mpm_is_known_before_it_is_there(
    condition: str, mpm: str
) -> None:
    """Read for that MPM while another one is loaded; httpd is asked with it loaded."""
    with short_folder() as root:
        text = f"{condition}\nMinSpareServers 5\n{closing(condition)}\n"
        write(root, text, mpm)
        refuses = run_httpd(root, "-t", "-D", "WRITTEN", "-D", "ASKED").returncode != 0
        now = "event" if mpm == "prefork" else "prefork"
        write(root, text, now)
        found = read(root, frozenset({"ASKED", "WRITTEN"})).refused_by(mpm)
        if condition == "<If true>":  # no MPM's directive may stand there
            assert mpm == "prefork" or found
        else:
            assert bool(found) is refuses


@pytest.mark.parametrize("module", sorted(GOES_WITH))
@pytest.mark.parametrize("mpm", MPMS)
def test_a_guard_of_a_module_that_leaves_with_the_mpm_holds_no_longer(
    tmp_path: Path, mpm: str, module: str
) -> None:
    """Of a package's own line; what an administrator has written stays."""
    (tmp_path / "conf.modules.d").mkdir()
    (tmp_path / "conf.d").mkdir()
    directive = "ThreadsPerChild" if mpm == "prefork" else "MinSpareServers"
    (tmp_path / "httpd.conf").write_text(
        f"Include conf.modules.d\nInclude conf.d\n<IfModule {module}>\n{directive} 5\n</IfModule>\n"
    )
    names = {entry: conf for entry, conf in confs().items() if f"{entry}_module" == module}
    name = names.get(module.removesuffix("_module"), "php.conf")
    text = f"LoadModule {module} modules/mod_{module.removesuffix('_module')}.so\n"
    place = tmp_path / ("conf.d" if name == "php.conf" else "conf.modules.d") / name
    place.write_text(text)
    now = next(other for other in MPMS if other in GOES_WITH[module])
    load = f"LoadModule mpm_{now}_module modules/mod_mpm_{now}.so\n"
    (tmp_path / f"conf.modules.d/000_mod_mpm_{now}.conf").write_text(load)
    conf = read_config(tmp_path, tmp_path / "httpd.conf")
    assert bool(conf.refused_by(mpm)) is (mpm in GOES_WITH[module])
    if name != "php.conf":
        place.rename(tmp_path / "conf.d/own.conf")
        assert read_config(tmp_path, tmp_path / "httpd.conf").refused_by(mpm)


def test_modules_that_are_included_twice_are_exchanged_twice() -> None:
    """httpd says only that they are loaded already."""
    with short_folder() as root:
        (root / "conf.modules.d").mkdir()
        (root / "conf.modules.d/000_mod_mpm_prefork.conf").write_text(module("mpm_prefork"))
        (root / "httpd.conf").write_text(
            "Include conf.modules.d\nInclude conf.modules.d/*.conf\nServerName localhost\n"
            f"PidFile {root}/pid\nErrorLog {root}/log\nDefaultRuntimeDir {root}\nListen 8001\n"
            "<IfModule prefork.c>\nMinSpareServers 5\n</IfModule>\n"
            "<IfModule !event.c>\nMaxSpareServers 9\n</IfModule>\n"
        )
        assert run_httpd(root, "-t").returncode == 0
        conf = read(root)
        assert conf.refused_by("event") == []
        assert [item.name for item in conf.refused_by("worker")] == ["maxspareservers"]
        assert conf.refused_by("prefork") == []


def confs() -> dict[str, str]:
    """{module: the file of its package that loads it}, of EasyApache 4's packages."""
    found = {}
    for entry in relations().values():
        for conf in entry.get("conf") or ():
            found[re.sub(r"^(?:\d+[_-])?(?:mod_)?|\.conf$", "", conf)] = conf
    return found


@pytest.mark.parametrize(
    "name",
    [
        *("mod_mpm_event.c", "mpm_event.c", "mpm_event", "event_module", "mod_mpm_event.so"),
        *("Event.c", "MPM_EVENT_MODULE", "mpm-event_module", "mpm_event_module.c", "mod_event.c"),
        *("modules/mod_mpm_event.so", "libmpm_event.so", "mpm_event_modules", "event"),
    ],
)
def test_a_name_that_no_mpm_has_is_named_with_the_right_one(name: str) -> None:
    with short_folder() as root:
        write(root, f"<IfModule {name}>\nMaxRequestWorkers 1000\n{HOST}</IfModule>\n")
        assert hosts_of(root) == []
        assert [(name, right) for _, name, right in read(root).misnamed()] == [
            (name, "mpm_event_module")
        ]


@pytest.mark.parametrize("name", ["event.c", "prefork.c", "mod_workers.c", "mod_evasive.c", "x"])
def test_a_name_that_is_an_mpms_or_like_none_is_not_called_wrong(name: str) -> None:
    assert matches_nothing(name) == ""


@pytest.mark.parametrize("mpm", [*MPMS])
def test_the_names_of_mpms_are_those_httpd_knows(mpm: str) -> None:
    for name in names_of_mpm(mpm):
        with short_folder() as root:
            write(root, f"<IfModule {name}>\n{HOST}</IfModule>\n", mpm)
            assert len(hosts_of(root)) == 1


def test_an_include_may_name_what_is_no_file(tmp_path: Path) -> None:
    main = tmp_path / "httpd.conf"
    os.mkfifo(tmp_path / "pipe.conf")
    (tmp_path / "big.conf").open("wb").truncate(1 << 30)
    main.write_text(
        "Include pipe.conf\nInclude /dev/zero\nInclude big.conf\nInclude none.conf\nListen 80\n"
    )
    conf = read_config(tmp_path, main)
    assert conf.listeners() == [("", 80)]
    for words in ("pipe.conf: is not a regular", "zero: is not a regular", "big.conf: is larger"):
        assert any(words in problem for problem in conf.problems)
    assert any("none.conf: No such file" in problem for problem in conf.problems)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Include httpd.conf\nInclude httpd.conf\n", "not read to its end"),
        ("Include /\n", "not read to its end"),
        (
            "Define A0 "
            + "x" * 100
            + "\n"
            + "".join(
                f"Define A{n + 1} {'${A' + str(n) + '}' * 1}{('${A' + str(n) + '}') * 9}\n"
                for n in range(12)
            ),
            "longer than",
        ),
        ("<Macro M>\nUse M\nUse M\n</Macro>\nUse M\n", "not read to its end"),
    ],
)
def test_what_would_never_end_is_given_up(
    tmp_path: Path, text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easyapache.agent.httpd.apache_config._MOST_LINES", 50_000)
    monkeypatch.setattr("easyapache.agent.httpd.apache_files.MOST_ENTRIES", 5_000)
    monkeypatch.setattr("easyapache.agent.httpd.apache_files.MOST_FILES", 500)
    main = tmp_path / "httpd.conf"
    main.write_text(text)
    found = read_config(tmp_path, main).problems
    assert any(words in problem for problem in found), found
    assert len(found) <= 21


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("localhost:8080", ("127.0.0.1", 8080)),
        ("127.0.0.01:8080", ("127.0.0.1", 8080)),
        ("127.1:8080", ("127.0.0.1", 8080)),
        ("[::ffff:127.0.0.1]:8080", ("127.0.0.1", 8080)),
        ("[0:0::1]:8080", ("::1", 8080)),
        ("[::]:8080", ("::", 8080)),
        ("127.0.0.1:0008080", ("127.0.0.1", 8080)),
        ("web.example:8080", ("web.example", 8080)),
    ],
)
def test_an_address_has_one_spelling(tmp_path: Path, written: str, place: tuple[str, int]) -> None:
    (tmp_path / "httpd.conf").write_text(f"Listen {written}\n")
    assert read_config(tmp_path, tmp_path / "httpd.conf").listeners() == [place]


def test_a_configuration_is_read_again_when_anything_of_it_is_another(tmp_path: Path) -> None:
    main = tmp_path / "httpd.conf"
    (tmp_path / "conf.d").mkdir()
    main.write_text("Include conf.d/*.conf\n<IfFile later>\nListen 81\n</IfFile>\n")
    conf = read_config(tmp_path, main)
    assert not conf.altered()
    (tmp_path / "conf.d/new.conf").write_text("Listen 80\n")
    assert conf.altered()
    conf = read_config(tmp_path, main)
    (tmp_path / "later").touch()
    assert conf.altered()
    conf = read_config(tmp_path, main)
    assert conf.listeners() == [("", 80), ("", 81)]
    (tmp_path / "conf.d/new.conf").write_text("Listen 8\n")
    assert conf.altered()
