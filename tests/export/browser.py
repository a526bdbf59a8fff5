"""Shows subtitles as a headless Chromium does: `<track>` at a `<video>`, asked over its debugging protocol.

with Browser() as browser:
    shown = browser.show(wav, vtt, at=[1.0, 5.0])
    shown.cues, shown.active, shown.rendered
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine; .ci/run installs it where it is root on Debian"
)
_OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio", "--no-first-run",
    "--disable-background-networking", "--window-size=800,600", "--remote-debugging-port=0",
)  # fmt: skip
_PAGE = b"<!doctype html><meta charset=utf-8><body style='margin:0'></body>"
_LOAD = """(async () => {
  const once = (target, name) => new Promise((done, failed) => {
    target.addEventListener(name, done, {once: true});
    target.addEventListener("error", () => failed(new Error(name + " did not come")), {once: true});
  });
  if (document.readyState !== "complete") await once(window, "load");
  const video = document.createElement("video"), track = document.createElement("track");
  video.width = 800, video.height = 450;
  Object.assign(track, {kind: "subtitles", srclang: "en", src: "/subtitles.vtt", default: true});
  const ready = Promise.all([once(video, "loadedmetadata"), once(track, "load")]);
  video.src = URL.createObjectURL(await (await fetch("/audio.wav")).blob());
  video.append(track);
  document.body.append(video);
  track.track.mode = "showing";
  await ready;
  const told = cue => {
    const shown = cue.getCueAsHTML();
    return {begin: cue.startTime, end: cue.endTime, text: shown.textContent,
            voices: [...shown.querySelectorAll("span")].map(one => one.title)};
  };
  window.show = async second => {
    const seeked = once(video, "seeked");
    video.currentTime = second;
    await seeked;
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    return [...track.track.activeCues].map(told);
  };
  return [...track.track.cues].map(told);
})()"""


class Shown(NamedTuple):
    cues: list[dict[str, Any]]
    """All of the track: begin and end in seconds, text, voices."""
    active: list[list[dict[str, Any]]]
    """Those that are shown at each of the times."""
    rendered: list[str]
    """What stands on the screen at each of them."""


class Browser:
    """A Chromium that runs as long as it is open."""

    _reader: threading.Thread | None = None

    def __enter__(self) -> Browser:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = [str(CHROMIUM), *_OPTIONS, f"--user-data-dir={self._folder.name}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.startswith("DevTools listening on "):
                self._socket = line.split()[-1]
                break
        else:
            self.__exit__()
            pytest.skip(f"Chromium does not start on this machine: it ends with {self._process.returncode}")
        self._reader = threading.Thread(target=self._process.stderr.read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        if self._reader:
            self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._folder.cleanup()

    def show(self, wav: bytes, vtt: str, *, at: list[float]) -> Shown:
        """What the browser makes of a track, and what it shows at these times, in seconds."""
        with _served({"/": _PAGE, "/audio.wav": wav, "/subtitles.vtt": vtt.encode()}) as address:
            return asyncio.run(self._show(address, at))

    async def _show(self, address: str, at: list[float]) -> Shown:
        async with aiohttp.ClientSession() as http, http.ws_connect(self._socket, max_msg_size=0) as socket:
            target = (await _ask(socket, "Target.createTarget", url="about:blank"))["targetId"]
            attached = await _ask(socket, "Target.attachToTarget", targetId=target, flatten=True)
            session = attached["sessionId"]
            await _ask(socket, "DOM.enable", session)
            await _ask(socket, "Page.navigate", session, url=address)
            cues = await _run(socket, session, _LOAD)
            active, rendered = [], []
            for second in at:
                active.append(await _run(socket, session, f"show({second})"))
                nodes = await _ask(socket, "DOM.getFlattenedDocument", session, depth=-1, pierce=True)
                rendered.append(_text(nodes["nodes"]))
            await _ask(socket, "Target.closeTarget", targetId=target)
        return Shown(cues, active, rendered)


async def _ask(
    socket: aiohttp.ClientWebSocketResponse, method: str, session: str | None = None, **parameters: Any
) -> dict[str, Any]:
    question = {"id": 1, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
    await socket.send_json(question)
    while True:
        answer = await socket.receive_json(timeout=60)
        if answer.get("id") == 1:  # the others are events
            assert "error" not in answer, answer
            return answer["result"]  # type: ignore[no-any-return]


async def _run(socket: aiohttp.ClientWebSocketResponse, session: str, expression: str) -> Any:
    answer = await _ask(
        socket, "Runtime.evaluate", session, expression=expression, awaitPromise=True, returnByValue=True
    )
    assert "exceptionDetails" not in answer, answer
    return answer["result"]["value"]


def _text(nodes: list[dict[str, Any]]) -> str:
    """The text of the browser's own part of the page that shows cues."""
    children: dict[int, list[dict[str, Any]]] = {}
    for node in nodes:
        children.setdefault(node.get("parentId", 0), []).append(node)

    def below(node: dict[str, Any]) -> str:
        own = node["nodeValue"] if node["nodeType"] == 3 else ""
        return own + "".join(below(child) for child in children.get(node["nodeId"], []))

    return "".join(below(node) for node in nodes if "-webkit-media-text-track-display" in node.get("attributes", []))


@contextmanager
def _served(files: Mapping[str, bytes]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.get(self.path)
            self.send_response(404 if body is None else 200)
            kinds = {".vtt": "text/vtt", ".wav": "audio/wav"}
            self.send_header("Content-Type", kinds.get(self.path[-4:], "text/html"))
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
