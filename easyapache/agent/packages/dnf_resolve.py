"""Runs dnf's own solver and prints its result as JSON. Changes nothing, locks nothing.

Run isolated (``-I``) by the operating system's Python, the one that has dnf 4's modules
(platform-python of EL8 is 3.6): ``python3 -I dnf_resolve.py REQUEST``, a JSON object with

* ``options``: the options the package manager is always called with (``-c``, ``--installroot``);
* ``install``, ``remove``: package names; ``protect``: names that must not be removed;
* ``erase``: whether other packages may be removed at all;
* ``files``: packages on this disk to choose from besides those of the repositories;
* or ``fetch`` instead of these: {build: folder} to download, check and copy there;
* or ``describe``: package names, to print their descriptions from the repositories.

Prints one JSON object: {install, remove, reasons, sizes, sources, left_out}, {missing: [build]}
after ``fetch``, {packages: {name: {summary, description, license, group, url, size}}, cache: folder
of the metadata} after ``describe``, or {error: {code, message}}. ``sizes`` are bytes by name: to
download, to install, and to remove. ``sources`` has the repository of each package to install,
whether its signatures are checked, and sizes in bytes. ``left_out`` are the repositories that can't
be reached and have nothing of EasyApache 4. Options are read by dnf's own command line
code, so configuration, repositories and plugins are exactly those of a real run.
"""

import filecmp
import gc
import io
import json
import os
import re
import shutil
import sys
from typing import Any, Dict, List


class Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        Exception.__init__(self, message)
        self.code, self.message = code, message


def described(package: Any) -> Dict[str, Any]:
    return {
        "name": package.name,
        "epoch": package.epoch,
        "version": package.version,
        "release": package.release,
        "arch": package.arch,
    }


def load(options: List[str], files: List[str]) -> Any:
    """A dnf Base set up by dnf's own command line from ``options``, with its sack filled, from
    ``files`` too."""
    import dnf
    import dnf.cli.cli

    base = dnf.cli.cli.BaseCli()
    cli = dnf.cli.cli.Cli(base)
    # -y, so that the key a repository names in its configuration may check its metadata, as in
    # the real run; nothing here ever runs a transaction.
    # A file is named because without any repository dnf wants one to be.
    cli.configure(["-q"] + list(options) + ["-y", "install"] + (files[:1] or ["ea-apache24"]))
    base.left_out = fill(base)
    base.add_remote_rpms(files)
    return base


def fill(base: Any) -> List[str]:
    """Fill the sack from the repositories that can be reached; returns the others. One that is
    dead must not stop a change that needs nothing of it. Raises Refused if it is one of
    EasyApache 4's own: without it another build would be chosen, or none."""
    import dnf.exceptions

    failed = {}  # type: Dict[str, str]
    while True:
        try:
            base.fill_sack(load_system_repo=True, load_available_repos=True)
            break
        except dnf.exceptions.RepoError as error:
            named = re.search(r"repo '([^']+)'", str(error))
            repo = base.repos.get(named.group(1)) if named else None
            if repo is None or not repo.enabled or len(failed) >= MOST_FAILED:
                raise Refused("repository_unreachable", str(error))
            failed[repo.id] = str(error)
            repo.disable()
    for name in sorted(failed):
        if is_ours(base, name):
            raise Refused("repository_unreachable", failed[name])
    return sorted(failed)


def is_ours(base: Any, name: str) -> bool:
    """Whether a repository that can't be reached has EasyApache 4's packages: by its name or
    address, or because installed ones came from it. If none that can be reached has any, each
    might."""
    repo = base.repos[name]
    places = [name] + list(repo.baseurl or ()) + [repo.mirrorlist or "", repo.metalink or ""]
    if any("ea4" in place.lower() or "easyapache" in place.lower() for place in places):
        return True
    query = base.sack.query()
    installed = query.installed().filter(name__glob="ea-*")
    came_from = set(str(package._from_repo).lstrip("@") for package in installed)
    return name in came_from or not query.available().filter(name__glob="ea-apache24*")


MOST_FAILED = 16
"""Repositories that are left out at most; each costs a wait for its address."""


def mark(base: Any, install: List[str], remove: List[str], protect: List[str]) -> None:
    """Put the goal to the solver. A wanted package that is there already is left alone: an
    MPM change must not become an update. For the same reason the build that belongs to the
    installed httpd is preferred to a newer one that would draw all of Apache along."""

    installed = base.sack.query().installed()
    if protect:
        base.conf.protected_packages = sorted(set(list(base.conf.protected_packages) + protect))
    httpd = list(installed.filter(name="ea-apache24"))
    for name in install:
        there = list(installed.filter(name=name))
        if there:
            # Still requested: a solution without it is no answer.
            base._goal.install(there[0])
            continue
        available = base.sack.query().available().filter(name=name)
        if not available:
            raise Refused("no_such_package", "No enabled repository provides %s." % name)
        same = []
        if httpd:
            evr = {
                "epoch": httpd[0].epoch,
                "version": httpd[0].version,
                "release": httpd[0].release,
            }
            same = list(available.filter(**evr))
        if same:
            base.package_install(same[0], strict=True)
        else:
            base.install(name, strict=True)
    for name in remove:
        for package in installed.filter(name=name):
            base.package_remove(package)


REASONS = {"user": "asked", "dependency": "dependency", "weak-dependency": "dependency"}


def answer(base: Any, install: List[str], remove: List[str], erase: bool) -> Dict[str, Any]:
    import dnf
    import dnf.transaction

    base.conf.clean_requirements_on_remove = False
    try:
        base.resolve(allow_erasing=erase)
    except dnf.exceptions.DepsolveError as error:
        text = str(error)
        code = "protected" if "protected packages" in text else "unsatisfiable"
        raise Refused(code, text)
    installing, removing, reasons, sources = [], [], {}, {}
    sizes: Dict[str, Dict[str, int]] = {"download": {}, "install": {}, "remove": {}}
    repositories = dict((repo.id, repo) for repo in base.repos.iter_enabled())
    for item in base.transaction or ():
        package = item.pkg
        if item.action in dnf.transaction.FORWARD_ACTIONS:
            installing.append(described(package))
            if package.name in install:
                reasons[package.name] = "asked"
            else:
                reasons[package.name] = REASONS.get(str(item.reason), "dependency")
            repository = repositories.get(package.reponame)
            checked = bool(repository.gpgcheck) if repository else bool(base.conf.localpkg_gpgcheck)
            sources[package.name] = {
                "repository": package.reponame,
                "checked": checked,
                "download": package.downloadsize,
                "installed": package.installsize,
            }
            sizes["download"][package.name] = package.downloadsize
            sizes["install"][package.name] = package.installsize
        elif item.action in dnf.transaction.BACKWARD_ACTIONS or (
            item.action == dnf.transaction.PKG_REMOVE
        ):
            removing.append(described(package))
            sizes["remove"][package.name] = package.installsize
            if package.name in remove:
                reasons[package.name] = "asked"
    names = set(entry["name"] for entry in installing)
    new = [item.pkg for item in base.transaction or () if item.pkg.name in names]
    for entry in removing:
        if entry["name"] in reasons or entry["name"] in names:
            continue
        # A conflict if it and a package to install exclude each other, in either direction;
        # otherwise it is removed because something it requires is.
        candidates = base.sack.query().installed().filter(name=entry["name"])
        clash = candidates.filter(conflicts=[p for pkg in new for p in pkg.provides])
        if not clash:
            for package in new:
                if (
                    base.sack.query()
                    .installed()
                    .filter(provides=package.conflicts, name=entry["name"])
                ):
                    clash = True
                    break
        reasons[entry["name"]] = "conflict" if clash else "dependent"
    return {
        "install": installing,
        "remove": removing,
        "reasons": reasons,
        "sizes": sizes,
        "sources": sources,
        "left_out": base.left_out,
    }


def fetched(base: Any, wanted: Dict[str, str]) -> Dict[str, Any]:
    """Download builds, check their signatures, and copy each into its folder. A package from a
    ``file:`` repository lies there and is never copied to the cache, hence the copies."""
    import dnf.exceptions

    packages, missing = [], []
    for nevra in sorted(wanted):
        matches = list(base.sack.query().available().filter(nevra=nevra))
        if matches:
            packages.append(matches[0])
        else:
            missing.append(nevra)
    if missing:
        return {"missing": missing}
    base.conf.assumeyes = True  # to a repository's own key, as with -y
    try:
        base.download_packages(packages)
        base.gpgsigcheck(packages)
    except dnf.exceptions.Error as error:
        raise Refused("download", str(error))
    for package in packages:
        source = package.localPkg()
        target = os.path.join(wanted[nevra_of(package)], os.path.basename(source))
        if not (os.path.exists(target) and filecmp.cmp(source, target, shallow=False)):
            shutil.copyfile(source, target + ".part")
            on_disk(target + ".part")
            os.rename(target + ".part", target)
        # The transaction takes it from there (the cache), perhaps after a power cut.
        on_disk(source)
        on_disk(os.path.dirname(source))
        sys.stderr.write("%s from %s, signature checked\n" % (package, package.reponame))
    for folder in set(wanted.values()):
        on_disk(folder)
    for name in base.left_out:
        sys.stderr.write("left out: the repository %s can't be reached and isn't needed\n" % name)
    return {"missing": []}


def on_disk(path: str) -> None:
    """Sync a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def offered(base: Any, names: List[str]) -> Dict[str, Any]:
    """The newest build of each named package in the enabled repositories, in its own words."""
    packages = {}
    for package in base.sack.query().available().filter(name=names).latest():
        packages[package.name] = {
            "summary": package.summary or "",
            "description": package.description or "",
            "license": package.license or "",
            "group": package.group or "",
            "url": package.url or "",
            "size": package.installsize,
        }
    return {"packages": packages, "cache": base.conf.cachedir}


def nevra_of(package: Any) -> str:
    evr = "%s-%s" % (package.version, package.release)
    if package.epoch:
        evr = "%d:%s" % (package.epoch, evr)
    return "%s-%s.%s" % (package.name, evr, package.arch)


def main(request: Dict[str, Any]) -> Dict[str, Any]:
    try:
        import dnf.cli.cli
        import dnf.const
        import dnf.exceptions
    except ImportError as error:
        return {"error": {"code": "no_dnf", "message": str(error)}}
    try:
        import dnf.transaction_sr
    except ImportError:
        return {"error": {"code": "old_dnf", "message": "dnf %s" % dnf.const.VERSION}}
    base = None
    try:
        base = load(request["options"], request.get("files", []))
        if "fetch" in request:
            return fetched(base, request["fetch"])
        if "describe" in request:
            return offered(base, request["describe"])
        mark(base, request["install"], request["remove"], request["protect"])
        return answer(base, request["install"], request["remove"], request["erase"])
    except Refused as refused:
        return {"error": {"code": refused.code, "message": refused.message}}
    except dnf.exceptions.MarkingError as error:
        return {"error": {"code": "no_such_package", "message": str(error)}}
    except dnf.exceptions.Error as error:
        text = str(error)
        code = "repository_unreachable" if "metadata" in text else "package_manager"
        return {"error": {"code": code, "message": text}}
    finally:
        if base is not None:
            if hasattr(gc, "freeze"):
                gc.freeze()  # else closing looks through all memory, twice
            base.close()


if __name__ == "__main__":
    gc.disable()  # for the second this lives, tidying memory takes longer than it saves
    # Output of plugins must not mix with the JSON.
    out, sys.stdout = sys.stdout, io.StringIO()
    result = main(json.loads(sys.argv[1]))
    out.write(json.dumps(result) + "\n")
    out.flush()
    sys.stderr.flush()
    os._exit(0)
