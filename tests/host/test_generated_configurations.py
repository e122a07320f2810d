"""Configurations that no administrator would write on purpose, read by this project and by httpd:
both find the same directives, with the same words, in the same files and sections."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from easyapache.agent.httpd.apache_config import ApacheConfig, read_config
from easyapache.agent.httpd.section_conditions import Surroundings
from easyapache.ea4.directives import MPMS, SUPPORTED_BY
from tests.host.test_reading_as_httpd import PLACE, STATIC, VERSION, module, program
from tests.places import short_folder

FLAGS = ("F1", "D1")
LOADED = ("mpm_event", "info", "env", "authz_core", "macro")
VALUES = (
    *("x", '"a b"', "'a b'", r"a\\b", r'"a\"b"', r'"a\\"', 'a"b', r"'it\'s'", '"unclosed', "''"),
    *("${V1}", "${OUT}", "${NOPE}", '"${V2}"', "pre${V1}post", "${V-6}", "${${V1}}", "${}", "${V1"),
    *(r"\${V1}", "$${V1}", r"a\nb", r"\"x", "é", "\xa0x", "x\x0by", "x\x1cy", "x\x1fy", "x\x85y"),
    *("x\u2028y", "#no", "x#y", "\\", "a\\", "<b>", "a>b", "$1", "%{x}i"),
)
LINES = (
    *("# comment", "# comment \\\nSetEnv LOST x", "#", "   # <IfModule x>", "", " ", "\\", "\t\\"),
    *("SetEnv K \\\n  x \\\n\n", "SetEnv K a\\\nb", "SetEnv K x\\ ", "SetEnv K \\\r\nx"),
    *("Define V1 one", 'Define V2 "two words"', "Define V3 F1", "Define V4 a.conf", "Define D1"),
    *("UnDefine V1", "UnDefine D1", "UnDefine F1", "Define V1 ${V2}", 'Define V5 "${V1}-x"'),
    *("define d1", 'Define V1 ""', "Define 'V1' x", "Define V-6 six", "Use M1 a b", "use m2"),
    *("USE M3 u v", "Use M4 q", "Use M5 n1 n2", "Use M6 a.conf", "Use M7 h.test", "Use M8 event.c"),
    *('Use M1 "a" "b c"', "Use M8 !env_module", "Use M1 ${V1} ${V2}", "UndefMacro M5"),
    module("rewrite").strip(),
    module("status").strip().replace("LoadModule", "loadmodule"),
    "LoadModule setenvif_module modules/mod_setenvif.so",
    'LoadModule cgid_module "modules/mod_cgid.so"',
)
INCLUDES = (
    *("a.conf", "sub", "sub/", "sub/*.conf", "sub/[!b]*", '"a.conf"', "${V4}", "link.conf"),
    *(
        "./a.conf",
        "sub/../a.conf",
        "'sub/b.conf'",
        "%R/a.conf",
        "sub//b.conf",
        "dirl",
        '"a b.conf"',
    ),
    *("dir?", "dir?/", "dir*/c.conf", "su*/b.conf", "*.conf.d", "a*b.conf", "[s]ub/[b-c].conf"),
    *("sub/{b,c}.conf", "*/c.conf", "sub/*", "*/*/*.conf", r"s\ub/b.conf", "sub/[[:alpha:]].conf"),
    *("none", "none/*.conf", "broken.conf", "sub/b.conf/x", "[.]e*", "sub/.*", "loop"),
)
CONDITIONS = (
    *("IfModule mpm_event_module", "IfModule !mpm_prefork_module", "IfModule prefork.c"),
    *("IfModule mod_env.c", "IfModule env_module", "IfModule !nosuch.c", 'IfModule "env_module"'),
    *("IfModule 'prefork.c'", "IfModule ENV_MODULE", "IfModule  env_module  ", "IfModule !!env.c"),
    *("IfModule ! env_module", "IfModule ${V1}", "IfModule http_core.c", "IfModule rewrite_module"),
    *(
        "IfDefine F1",
        "IfDefine !F1",
        "IfDefine V1",
        "IfDefine D1",
        'IfDefine "F1"',
        "IfDefine ${V3}",
    ),
    *("IfDefine ! D1", "IfVersion >= 2.4", "IfVersion < 2.4", "IfVersion 2.4", "IfVersion > 2.4.9"),
    *("IfVersion ~ 2.4", r"IfVersion = /^2\.4/", "IfVersion !2.2", "IfVersion !>= 2.4"),
    *("IfVersion >= 2", r"IfVersion !~ ^2\.5", "IfFile a.conf", "IfFile !a.conf", 'IfFile "sub"'),
    *(
        "IfFile nothing",
        "IfFile ${V4}",
        "IfFile ! a.conf",
        "IfFile /etc/passwd",
        "IfFile broken.conf",
    ),
    *(
        "IfDirective SetEnv",
        "IfDirective !SetEnv",
        "IfDirective RewriteEngine",
        "IfDirective alias",
    ),
    *("IfDirective !RewriteRule", "IfDirective ListenBacklog", "IfDirective threadsperchild"),
    *("IfDirective MinSpareServers", "IfDirective Require", "IfDirective Bogus"),
    *("IfDirective ScriptSock", "IfDirective VirtualHost", "IfDirective <VirtualHost"),
    *("IfDirective Define", "IfDirective GracefulShutdownTimeout", "IfDirective Mutex"),
    *("IfSection VirtualHost", "IfSection Proxy", "IfSection Macro", "IfSection !Proxy"),
    *("IfSection RequireAll", "IfSection bogus", "IfSection SetEnv"),
)
SECTIONS = (
    *("VirtualHost 127.0.0.1:8001", "VirtualHost *:80 [::1]:81", "VirtualHost _default_:80"),
    *("Directory /tmp", "Files x", 'Files ~ "x y"', "Location /x", 'Directory ~ "^/x>y"'),
    *('If "true"', 'LocationMatch "^/a(b|c)$"', r"FilesMatch '\.php$'"),
)
MACROS = """<Macro M1 $a $b>
SetEnv M$a $b
</Macro>
<Macro M2>
ServerAdmin m2
<IfDefine D1>
SetEnv D 1
</IfDefine>
</Macro>
<macro M3 ${x} @y>
SetEnv ${x} @y@y
</macro>
<Macro M4 $a>
Use M1 $a z
</Macro>
<Macro M5 $n $na>
SetEnv $na $n
</Macro>
<Macro M6 $f>
Include $f
</Macro>
<Macro M7 %x>
<VirtualHost 127.0.0.1:8001>
ServerName %x
</VirtualHost>
</Macro>
<Macro M8 $c>
<IfModule $c>
SetEnv M8 1
</IfModule>
</Macro>
"""
ON_READ = {
    *("loadmodule", "define", "undefine", "include", "includeoptional", "use", "undefmacro"),
    "defaultruntimedir",
}
"""What httpd carries out as it reads, and does not keep."""
Seen = tuple[str, tuple[str, ...], str, tuple[str, ...]]
"""A directive: name, words, file, names of the sections around it."""


OF_MPMS = (
    *("MinSpareServers 5", "MaxSpareServers 9", "ThreadsPerChild 5", "ThreadLimit 64"),
    *("AsyncRequestWorkerFactor 2", "MinSpareThreads 5", "MaxRequestWorkers 100", "ServerLimit 5"),
    "<IfModule mod_cgid.c>\nScriptSock run/s\n</IfModule>",
    "<IfModule cgi_module>\nMinSpareServers 5\n</IfModule>",
    "<IfModule !mod_cgi.c>\nThreadsPerChild 5\n</IfModule>",
)
OF_MODULES = (
    *("IfModule mod_cgi.c", "IfModule !cgid_module", "IfModule event.c", "IfModule worker.c"),
    *("IfModule !worker.c", "IfModule !mpm_event_module", "IfDirective ThreadsPerChild"),
    "IfDirective !AsyncRequestWorkerFactor",
)
"""What is written about MPMs, besides all the rest."""


class Writer:
    """Writes the same configuration for the same seed. ``mpms``: with directives of MPMs, and
    modules from the files of packages."""

    def __init__(self, seed: int, *, mpms: bool = False) -> None:
        self.choice, self.mpms = random.Random(seed), mpms
        own = tuple(line for line in LINES if "oadModule" not in line)
        self.lines = (*own, *OF_MPMS * 3) if mpms else LINES
        self.conditions = (*CONDITIONS, *OF_MODULES * 3) if mpms else CONDITIONS
        self.sections = SECTIONS[:3] if mpms else SECTIONS

    def below(self, most: float) -> bool:
        return self.choice.random() < most

    def item(self, root: Path, depth: int, *, includes: bool) -> str:
        of = self.choice
        if self.below(0.35):
            name = of.choice(
                ["SetEnv K1", "setenv K", "SETENV\tK", "  SetEnv   K  ", "\tServerAdmin"]
            )
            text = f"{name} {of.choice(VALUES)}{of.choice(['', ' ', chr(9)])}"
        elif self.below(0.4):
            text = of.choice(self.lines)
        elif includes and self.below(0.3):
            pattern = of.choice(INCLUDES).replace("%R", str(root))
            text = f"{of.choice(['Include', 'IncludeOptional', 'IncludeOptional'])} {pattern}"
        elif depth < 5:
            return self.section(root, depth, includes=includes)
        else:
            text = "ServerSignature off"
        return text + ("\r\n" if self.below(0.03) else "\n")

    def section(self, root: Path, depth: int, *, includes: bool) -> str:
        of = self.choice
        written = of.choice(self.conditions if self.below(0.75) else self.sections)
        opening, name = f"<{written}>", written.split()[0]
        if self.below(0.05):
            ways = (
                f"  {opening} ",
                f"<{written} >",
                f"{opening} # x",
                opening.replace(" ", "\t", 1),
            )
            opening = of.choice([*ways, opening.replace(" ", " \\\n", 1)])
        end = of.choice([f"</{name.lower()}>", f"</{name.upper()}>", f" </{name}> "])
        body = [self.item(root, depth + 1, includes=includes) for _ in range(of.randrange(4))]
        return f"{opening}\n{''.join(body)}{end if self.below(0.1) else f'</{name}>'}\n"

    def write(self, root: Path) -> list[str]:
        """A whole ServerRoot; returns the flags that httpd is started with."""
        of = self.choice
        for folder in ("sub", "dir1", "dir2", "loop", "x.conf.d", "dirl.real/deep"):
            (root / folder).mkdir(parents=True)
        (root / "modules").symlink_to(modules())
        (root / "link.conf").symlink_to("a.conf")
        (root / "broken.conf").symlink_to("nowhere")
        (root / "dirl").symlink_to("dirl.real")
        if self.below(0.3):
            (root / "loop/loop").symlink_to(".")
        encoding = of.choice(["utf-8", "utf-8", "latin-1"])

        def put(name: str, most: int, head: str = "", *, includes: bool = False) -> None:
            items = [self.item(root, 0, includes=includes) for _ in range(of.randrange(most + 1))]
            text = head + "".join(items)
            ending = text.rstrip("\n") if self.below(0.1) and "Use" not in text else text
            (root / name).write_bytes(ending.encode(encoding, "replace"))

        loaded = LOADED[1:] if self.mpms else LOADED
        packaged = "Include conf.modules.d/*.conf\n" if self.mpms else ""
        head = (
            packaged
            + "".join(map(module, loaded))
            + (
                f"ServerName localhost\nPidFile {root}/pid\nErrorLog {root}/log\n"
                f"DefaultRuntimeDir {root}\nListen 127.0.0.1:8001\n{MACROS}"
            )
        )
        put("httpd.conf", 9, head, includes=True)
        put("a.conf", 3, includes=self.below(0.3))
        names = ("b.conf", "c.conf", "d.txt", ".e.conf")
        for name in (*(f"sub/{name}" for name in names), "a b.conf"):
            put(name, 1)
        for folder in ("dir1", "dir2", "dirl.real/deep", "x.conf.d", "loop"):
            put(f"{folder}/c.conf", 1)
        return [flag for flag in FLAGS if self.below(0.4)]


def modules() -> Path:
    found = PLACE.module("mod_env")
    assert found is not None
    return Path(found).parent


def words(text: str) -> tuple[str, ...]:
    """The words of a line by the letter of httpd's ap_getword_conf."""
    found, at, space = [], 0, " \t\n\v\f\r"
    while (at := at + len(text[at:]) - len(text[at:].lstrip(space))) < len(text):
        quote, word = text[at] if text[at] in "\"'" else "", ""
        at += len(quote)
        while at < len(text) and (text[at] != quote if quote else text[at] not in space):
            escaped = text[at] == "\\" and text[at + 1 : at + 2] in ("\\", quote or "\\")
            at += escaped and at + 1 < len(text)
            word, at = word + text[at], at + 1
        at += len(quote)
        found.append(word)
    return tuple(found)


def by_httpd(root: Path, flags: list[str]) -> list[Seen] | None:
    """Nothing if httpd refuses the configuration: what it refuses it does not read on."""
    options = [option for flag in flags for option in ("-D", flag)]
    call = [program(), "-d", str(root), "-f", "httpd.conf", "-t", "-D", "DUMP_CONFIG", *options]
    said = subprocess.run(
        call,
        capture_output=True,
        check=False,
        timeout=30,
        env={"PATH": os.environ["PATH"], "OUT": "8099"},
    )
    if said.returncode:
        return None
    found: list[Seen] = []
    file, around = "", list[str]()
    for line in said.stdout.decode("latin-1").split("\n"):
        text = line.strip(" ")
        if text.startswith("# In file: "):
            defined = re.search(r'defined on line \d+ of "([^"]+)"', text)
            file = os.path.realpath(defined[1] if defined else text[11:])
        elif text and not text.startswith("</") and not re.fullmatch(r"#\s+\d+:", text):
            del around[(len(line) - len(line.lstrip(" "))) // 2 :]
            if opened := re.match(r"<(\w+)", text):
                around.append(opened[1].lower())
            else:
                name, _, arguments = text.partition(" ")
                found.append((name.lower(), words(arguments), file, tuple(around)))
    return found


def surroundings(flags: list[str]) -> Surroundings:
    return Surroundings(
        flags=frozenset(flags),
        environment={"OUT": "8099"},
        version=VERSION,
        static=STATIC,
        program=Path(program()),
    )


def by_us(root: Path, flags: list[str]) -> tuple[list[Seen], ApacheConfig]:
    conf = read_config(root, root / "httpd.conf", surroundings(flags))
    found: list[Seen] = []
    for item in conf.directives:
        if item.name not in ON_READ and not item.name.startswith("<"):
            kept = [name for name, _ in item.sections if name == "if" or not name.startswith("if")]
            place = os.path.realpath(item.path)
            found.append((item.name, item.arguments, place, tuple(kept)))
    return found, conf


def ascii_only(seen: list[Seen]) -> list[Seen]:
    """Of other letters only where they are: httpd's answer does not tell its encoding."""
    return [
        (name, tuple(re.sub(r"[^\0-\x7f]+", "?", word) for word in arguments), file, around)
        for name, arguments, file, around in seen
    ]


@pytest.mark.parametrize("lot", range(6))
def test_both_find_the_same_in_whatever_is_written(lot: int) -> None:
    compared = 0
    for seed in range(lot * 1000, lot * 1000 + 40):
        with short_folder() as place:
            root = place.resolve()
            flags = Writer(seed).write(root)
            theirs = by_httpd(root, flags)
            if theirs is None:
                continue
            ours, conf = by_us(root, flags)
            assert ascii_only(ours) == ascii_only(theirs), f"seed {seed}: {conf.problems}"
            compared += 1
    assert compared >= 8


@pytest.mark.parametrize("given", [*VALUES, 'a "b', "'a''b'", '"a"b c', "  x  ", r'"\'"', r"'\"'"])
def test_words_are_separated_as_httpd_separates_them(given: str) -> None:
    with short_folder() as place:
        root = place.resolve()
        (root / "httpd.conf").write_text(
            f"{''.join(map(module, LOADED))}ServerName x\nPidFile {root}/pid\n"
            f"ErrorLog {root}/log\nDefaultRuntimeDir {root}\nListen 8001\nPassEnv K {given}\n"
        )
        theirs = by_httpd(root, [])
        assert theirs is not None
        assert ascii_only(by_us(root, [])[0]) == ascii_only(theirs)


@pytest.mark.parametrize("name", ["H2Push", "LSAPI_Engine", "Bogus", "<VirtualHosts"])
def test_a_directive_of_no_module_is_none_under_an_mpm_that_is_not_there_yet(name: str) -> None:
    """The files of the other MPM and of its CGI module come with the change."""
    with short_folder() as place:
        root = place.resolve()
        (root / "conf.modules.d").mkdir()
        for number, module_name in enumerate(("mpm_prefork", "cgi")):
            file = root / f"mod_{module_name}.so"
            file.symlink_to(modules() / file.name)
            conf = f"conf.modules.d/00{number}_mod_{module_name}.conf"
            (root / conf).write_text(f"LoadModule {module_name}_module {file}\n")
        (root / "httpd.conf").write_text(
            f"Include conf.modules.d/*.conf\n<IfDirective {name}>\nMinSpareServers 3\n"
            "</IfDirective>\n<IfDirective ScriptSock>\nMaxSpareServers 3\n</IfDirective>\n"
        )
        _, conf_read = by_us(root, [])
        assert [item.name for item in conf_read.refused_by("event")] == ["maxspareservers"]


def packages_of(root: Path, mpm: str) -> None:
    """The files of the packages of an MPM and its CGI module, and of no other."""
    folder = root / "conf.modules.d"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    cgi = "cgi" if mpm == "prefork" else "cgid"
    for number, name in (("000", f"mpm_{mpm}"), ("005", cgi)):
        (folder / f"{number}_mod_{name}.conf").write_text(
            f"LoadModule {name}_module modules/mod_{name}.so\n"
        )


@pytest.mark.parametrize("lot", range(4))
def test_what_the_next_mpm_refuses_is_known_whatever_is_written(lot: int) -> None:
    """httpd is asked with it in place; it names the first directive that it doesn't know."""
    compared = refused = 0
    for seed in range(lot * 1000, lot * 1000 + 40):
        with short_folder() as place:
            root = place.resolve()
            writer = Writer(seed, mpms=True)
            flags = writer.write(root)
            now, then = writer.choice.sample(MPMS, 2)
            packages_of(root, now)
            conf = read_config(root, root / "httpd.conf", surroundings(flags))
            ours = [item.name for item in conf.refused_by(then)][:1]
            packages_of(root, then)
            options = [option for flag in flags for option in ("-D", flag)]
            said = subprocess.run(
                [program(), "-d", str(root), "-f", "httpd.conf", "-t", *options],
                capture_output=True,
                check=False,
                timeout=30,
                env={"PATH": os.environ["PATH"], "OUT": "8099"},
            )
            unknown = re.search(r"Invalid command '(\w+)'", said.stderr.decode("latin-1"))
            theirs = [unknown[1].lower()] if unknown else []
            if said.returncode and not set(theirs) & SUPPORTED_BY.keys():
                continue  # it ends before it comes to a directive of an MPM
            assert ours == theirs, f"seed {seed}: {now} to {then}"
            compared, refused = compared + 1, refused + bool(theirs)
    assert compared >= 20
    assert refused >= 2
