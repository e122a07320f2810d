"""Turns lab packages into one rpm spec file and a tree of files. Pure text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from easyapache.ea4.package_metadata import Description
from lab.catalog import LabPackage

_HEAD = """\
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global _build_id_links none
%define _binary_payload w1.zstdio
Name: {name}
Version: 1
Release: 1
Summary: Packages of the EasyApache 4 lab
License: MIT
AutoReqProv: no

%description
The carrier of the packages below; it is not built itself.

%install
cp -al {tree}/. %{{buildroot}}/

"""

FAULTS = (
    "failpre",
    "failpreun",
    "failpost",
    "failpostun",
    "slowpre",
    "slowpreun",
    "slowpost",
    "slowpostun",
)
"""What a package can be made to do at installation and removal: a scriptlet that fails, or one
that takes its time (``slowpre=3``, seconds). ``slow`` is short for ``slowpre``."""


def spec_text(
    name: str,
    packages: Iterable[LabPackage],
    tree: str,
    faults: Mapping[str, str],
) -> str:
    """The spec of ``packages``. ``tree`` is the folder that holds their files.

    Requirements and provides are only the declared ones (AutoReqProv off). ``faults`` maps package
    names to a fault of FAULTS.
    """
    parts = [_HEAD.format(name=name, tree=tree)]
    parts += [_package(package, faults.get(package.name, "")) for package in packages]
    return "".join(parts)


def _package(package: LabPackage, fault: str) -> str:
    lines = [
        f"%package -n {package.name}",
        f"Version: {package.version}",
        f"Release: {package.release}",
        f"Summary: {package.description.summary or package.name}",
        *(f"{tag}: {value}" for tag, value in _tags(package.description) if value),
        "AutoReqProv: no",
    ]
    lines += [f"Requires: {need}" for need in package.requires]
    lines += [f"Conflicts: {other}" for other in package.conflicts]
    lines += [f"Provides: {capability}" for capability in package.provides]
    lines += [
        f"%description -n {package.name}",
        package.description.description,
        "EasyApache 4's name and relations, the distribution's own payload.",
        "",
    ]
    if fault:
        lines += _scriptlet(package.name, fault)
    lines += [f"%files -n {package.name}", "%defattr(-,root,root,-)"]
    lines += [f"%dir {folder}" for folder in package.folders]
    for path in sorted({*package.texts, *package.copies, *package.links}):
        config = path in package.texts and path.startswith("/etc/")
        lines.append(f"%config(noreplace) {path}" if config else path)
    return "\n".join(lines) + "\n\n"


def _tags(description: Description) -> tuple[tuple[str, str], ...]:
    return (
        ("License", description.license),
        ("Group", description.group),
        ("URL", description.url),
    )


def _scriptlet(name: str, fault: str) -> list[str]:
    """Scriptlets are Lua, run by rpm itself: an installroot has no /bin/sh.
    (A comment inside would make rpmbuild drop the scriptlet without failing.)"""
    kind, _, seconds = fault.partition("=")
    kind = "slowpre" if kind == "slow" else kind
    if kind not in FAULTS:
        raise ValueError(f"{fault!r}: a fault is one of {', '.join(FAULTS)}")
    section = kind.removeprefix("fail").removeprefix("slow")
    if kind.startswith("slow"):
        body = f"posix.sleep({int(seconds or 2)})"
    else:
        body = f'error("the {section} scriptlet of {name} was made to fail")'
    return [f"%{section} -n {name} -p <lua>", body, ""]
