"""The model and service layers on PostgreSQL: the same tests, on a cluster of our own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

HERE = Path(__file__).resolve().parent
ON_BOTH = (
    "test_requests.py",
    "test_records.py",
    "test_rollback.py",
    "test_history.py",
    "test_verification.py",
    "test_rows_against_events.py",
    "test_export_of_events.py",
    "test_pruning.py",
    "test_words.py",
    "test_concurrency.py",
    "../api/test_events.py",
    "../api/test_tokens.py",
)


def programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found += [Path(path) for path in [shutil.which("initdb")] if path]
    assert found, "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    return found[-1].parent


def as_owner(*argv: str) -> None:
    """PostgreSQL refuses to run as root, and takes another account of the machine instead."""
    owner = "postgres" if os.geteuid() == 0 else None
    done = subprocess.run(argv, user=owner, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A throwaway cluster that listens on a socket in its own folder and nowhere else."""
    folder = Path(tempfile.mkdtemp(prefix="ea4p-"))
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
    data, bin_folder = folder / "data", programs()
    try:
        as_owner(
            str(bin_folder / "initdb"),
            *("-D", str(data), "-A", "trust", "-U", "panel", "-E", "UTF8", "--no-sync"),
        )
        options = f"-c listen_addresses='' -k {folder} -c fsync=off -c full_page_writes=off"
        as_owner(
            str(bin_folder / "pg_ctl"),
            *("-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start"),
        )
        yield folder
    finally:
        as_owner(str(bin_folder / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


@pytest.mark.postgresql
def test_models_and_services_keep_their_promises_on_postgresql(cluster: Path) -> None:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(str(HERE / name) for name in ON_BOTH),
        ],
        env={**os.environ, "DATABASE_URL": f"postgres://panel@/postgres?host={cluster}"},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


@pytest.mark.postgresql
def test_an_account_that_may_add_no_extension_gets_a_panel_that_says_so(
    cluster: Path, tmp_path: Path
) -> None:
    for statement, database in (
        ("CREATE ROLE plain LOGIN", "postgres"),
        ("CREATE DATABASE of_another", "postgres"),
        ("GRANT ALL ON SCHEMA public TO plain", "of_another"),
    ):
        address = f"host={cluster} user=panel dbname={database}"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)

    def manage(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            env={
                **os.environ,
                "DATABASE_URL": f"postgres://plain@/of_another?host={cluster}",
                "SECRET_KEY": "only for this test",
                "VAR_DIR": str(tmp_path),
            },
            cwd=HERE.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "CREATE EXTENSION pg_trgm" in manage("migrate")
    assert "mpm.W001" in manage("check", "--database", "default")
    assert "No changes found" in manage("mpm", "history", "--text", "needle")


def prepare(cluster: Path, database: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "prepare", "--no-static"],
        env={
            "PATH": os.environ["PATH"],
            "SECRET_KEY": "s",
            "DATABASE_URL": f"postgres://panel@/{database}?host={cluster}",
        },
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.postgresql
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_is_not_utf8_is_refused_in_a_sentence(cluster: Path, encoding: str) -> None:
    name = encoding.lower()
    with psycopg.connect(f"host={cluster} user=panel dbname=postgres", autocommit=True) as direct:
        direct.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' "
            "TEMPLATE template0"
        )
    done = prepare(cluster, name)
    assert done.returncode == 4, done.stderr
    assert f"has the encoding {encoding}, and the panel needs UTF8" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.postgresql
def test_a_database_that_is_read_only_or_not_there_is_said_in_a_sentence(cluster: Path) -> None:
    with psycopg.connect(f"host={cluster} user=panel dbname=postgres", autocommit=True) as direct:
        direct.execute("CREATE DATABASE kept")
        direct.execute("ALTER DATABASE kept SET default_transaction_read_only = on")
    for name, words in (("kept", "read-only"), ("nowhere", "does not exist")):
        done = prepare(cluster, name)
        assert done.returncode == 4, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
