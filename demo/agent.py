"""An agent with a lab server of its own, for a container: ``python -m demo.agent``.

EA4_DATA is the folder of the lab and the agent's spool, REDIS_URL the broker. ``--check`` runs a
health check instead: httpd serves, and the broker answers. The panel's secret key and database are
not needed.
"""

from __future__ import annotations

import os
import sys

import redis

from demo.folder import Folder, data_folder
from demo.parts import agent_part
from demo.servers import LabError, LabServer
from lab.server import Lab


def report(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def check(broker: str) -> int:
    try:
        running = Lab.open(data_folder() / "servers" / LabServer.name).status().running
        redis.Redis.from_url(broker, socket_timeout=3).ping()
    except (LabError, redis.RedisError) as error:
        report(str(error))
        return 1
    report(f"Apache runs {running}; the broker answers")
    return 0 if running else 1


def main(arguments: list[str]) -> int:  # noqa: RET503  (execve does not return)
    broker = os.environ.get("REDIS_URL", "")
    if not broker:
        report("REDIS_URL is not set")
        return 2
    if arguments == ["--check"]:
        return check(broker)
    folder = Folder.for_agents(data_folder())
    server = LabServer()
    try:
        config = server.up(folder.servers / server.name, folder, report)
    except LabError as error:
        report(str(error))
        return 1
    part = agent_part(server.name, config, broker)
    os.execve(part.argv[0], part.argv, dict(part.environment))  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
