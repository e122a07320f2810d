"""Starts an httpd away from the network, checks it, stops it, and prints the result as JSON.

``python -I rehearsal_stage.py SETTINGS``. With ``net`` it runs in its own network namespace, where
it enables the loopback device and adds the addresses that the configuration listens on. httpd gets
its own session: with -DFOREGROUND it kills its whole process group when it stops.
"""

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_UP, _SET_ADDRESS, _SET_FLAGS, _GET_INDEX = 0x1, 0x8916, 0x8914, 0x8933


def bring_up(addresses: list[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four:
        fcntl.ioctl(four, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP | 0x40))
        for number, address in enumerate(a for a in addresses if ":" not in a):
            name = f"lo:{number + 1}".encode()
            packed = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(four, _SET_ADDRESS, packed)
        index = struct.unpack(
            "16si12x", fcntl.ioctl(four, _GET_INDEX, struct.pack("16si12x", b"lo", 0))
        )[1]
    if any(":" in a for a in addresses) and socket.has_ipv6:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
            for address in addresses:
                if ":" in address and address != "::1":
                    packed = socket.inet_pton(socket.AF_INET6, address) + struct.pack(
                        "=Ii", 128, index
                    )
                    fcntl.ioctl(six, _SET_ADDRESS, packed)


def request(
    address: str,
    port: int,
    tls: bool,
    path: str = "*",
    method: str = "OPTIONS",
    host: str = "localhost",
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        plain = socket.create_connection((address, port), timeout=5)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            plain = context.wrap_socket(plain, server_hostname=host)
        connection.sock = plain
        connection.request(method, path, headers={"Host": host, "Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read(65536).decode("utf-8", "replace")
    finally:
        connection.close()


def maps(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


def observe(
    process: subprocess.Popen[bytes], settings: dict[str, Any], result: dict[str, Any]
) -> None:
    """Probe until every listener has answered, httpd has ended, or the time is up."""
    end = time.monotonic() + settings["limit"]
    waiting = list(settings["requests"])
    while time.monotonic() < end:
        if process.poll() is not None:
            return
        for item in list(waiting):
            place = "{address}:{port}".format(**item)
            try:
                status, _ = request(item["address"], item["port"], item["tls"])
            except (OSError, http.client.HTTPException) as error:
                # On a port that was moved no virtual host may match any more, and TLS is then
                # not spoken there.
                if not settings["net"]:
                    item["tls"] = not item["tls"]
                result["errors"][place] = f"{type(error).__name__}: {error}"
                # httpd opens all its listeners before it answers on any: if one is not open then,
                # its Listen line does not apply.
                if (
                    settings["net"]
                    and result["answers"]
                    and isinstance(error, ConnectionRefusedError)
                ):
                    waiting.remove(item)
                continue
            result["errors"].pop(place, None)
            result["answers"].append([item["address"], item["port"], status])
            waiting.remove(item)
        if not waiting:
            break
        time.sleep(0.02)
    text = maps(process.pid)
    result["mpms"] = sorted(set(re.findall(r"/mod_mpm_(event|worker|prefork)\.so", text)))
    result["itk"] = bool(re.search(r"/(?:mod_)?mpm_itk\.so", text))
    where = settings.get("status")
    if where and not waiting:
        try:
            status, body = request(
                where["address"], where["port"], where["tls"], where["path"], "GET", where["host"]
            )
            server_mpm = re.search(r"^ServerMPM: (\w+)", body, re.MULTILINE)
            result["server_mpm"] = (
                server_mpm.group(1).lower() if server_mpm and status == 200 else ""
            )
        except (OSError, http.client.HTTPException):
            pass  # the page may be off or need a name; the mapped module has answered already
    result["up"] = not waiting and process.poll() is None


def main(settings: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "up": False,
        "status": None,
        "output": "",
        "answers": [],
        "errors": {},
        "mpms": [],
        "itk": False,
    }
    if settings["net"]:
        bring_up(settings["addresses"])
    with Path(settings["output"]).open("w+b") as output:
        process = subprocess.Popen(
            settings["argv"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            observe(process, settings, result)
        finally:
            result["status"] = process.poll()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        output.seek(0)
        result["output"] = output.read(16384).decode("utf-8", "replace")
    return result


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
