"""Which driver a configuration selects, and how a process without settings finds it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from easyapache.agent.change.durable import write_atomically
from easyapache.agent.config import BadConfig, HostConfig, config_from, load_config
from easyapache.agent.server import Server

CONFIG_VARIABLE = "EA4_AGENT_CONFIG"
_REMEMBERED = ".config.json"


def open_server(config: HostConfig) -> Server:
    """The server ``config`` describes. Raises BadConfig when it lacks what its driver needs."""
    if config.driver == "simulated":
        from easyapache.agent.simulated.server import SimulatedServer

        if config.simulated_state is None:
            raise BadConfig("driver = 'simulated' needs simulated_state, the path of its state")
        return SimulatedServer(config.simulated_state)
    from easyapache.agent.real import RealServer

    return RealServer(config)


def remember(config: HostConfig) -> None:
    """Keep the configuration in the spool, so that resuming a change there, even by hand, works on
    the same server in the same way."""
    write_atomically(config.spool / _REMEMBERED, json.dumps(config.as_json(), indent=1).encode())


def config_of(spool: Path) -> HostConfig:
    """The configuration of a spool: the one the agent saved there, else the one named by the
    environment. Raises BadConfig when there is neither."""
    try:
        return config_from(json.loads((spool / _REMEMBERED).read_bytes()))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        path = os.environ.get(CONFIG_VARIABLE)
        if not path:
            raise BadConfig(
                f"{spool} does not say which server it is for; name the agent's configuration "
                f"in {CONFIG_VARIABLE}"
            ) from None
        return load_config(Path(path))
