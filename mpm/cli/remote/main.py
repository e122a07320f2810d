"""``ea4mpm``: the commands from anywhere, over REST. Exit statuses are in
``mpm.cli.commands.statuses``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mpm.cli.commands.connection import Connection
from mpm.cli.commands.definition import parser_of
from mpm.cli.commands.running import Program, execute
from mpm.cli.remote.configuration import panel_from


def connect(options: argparse.Namespace) -> Connection:
    return Connection(panel_from(name=options.panel, url=options.url))


EA4MPM = Program("ea4mpm", connect)


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(EA4MPM, parser_of(EA4MPM.name, remote=True).parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
