"""What an agent takes of its broker."""

from __future__ import annotations

import subprocess
import sys

import redis

from tests.engine.test_agent import MakeHouse, make_house

__all__ = ["make_house"]

SENDS = """
import sys
from celery import Celery
app = Celery(broker=sys.argv[1])
for number in range(12):
    app.send_task("host.inspect", kwargs={"request": f"r{number}"}, queue="host.sim")
    app.send_task("host.ping", kwargs={"nonce": f"n{number}"}, queue="host.sim")
"""


def test_an_agent_holds_no_more_than_three_connections_of_its_broker(
    make_house: MakeHouse,
) -> None:
    house = make_house()
    # Another process, so that the only connections beside the agent's are of this one client.
    subprocess.run([sys.executable, "-c", SENDS, house.url], check=True, timeout=60)
    client = redis.Redis(unix_socket_path=str(house.folder / "redis.sock"))
    house.wait(lambda: client.llen("control") >= 24)
    house.wait(lambda: int(client.info("clients")["connected_clients"]) <= 1 + 3)
    assert client.info("commandstats").keys().isdisjoint({"cmdstat_publish", "cmdstat_zadd"})
    client.close()
