"""A small hub on loopback: repositories, branches, commits, large files by LFS; what huggingface_hub asks of one."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from servers import serving

TOKEN = "hf_" + "t" * 20
LARGE = 100_000  # bytes from which a file goes by LFS


class Repository:
    def __init__(self, private: bool = False) -> None:
        self.private = private
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.messages: list[str] = []
        self.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        before = self.commits.get(self.branches.get(branch, ""), {})
        sha = hashlib.sha1(repr((len(self.commits), sorted(files), message)).encode()).hexdigest()
        self.commits[sha] = {**before, **files}
        self.branches[branch] = sha
        self.messages.append(message)
        return sha

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        sha = self.branches.get(revision, revision)
        return (sha, self.commits[sha]) if sha in self.commits else None


class Hub(http.server.ThreadingHTTPServer):
    """``repositories`` (name → :class:`Repository`), ``asked`` (method and path of each request), ``refuse`` (path's
    pattern → status to answer instead of the file)."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.refuse: dict[str, int] = {}
        self.organisations = {"org"}
        self.release: Any = _Nothing()


@contextlib.contextmanager
def hub_in_use(monkeypatch: Any, cache: Path) -> Iterator[Hub]:
    """A hub that ``hf://`` means, with an empty cache; it needs no token."""
    import huggingface_hub.constants as constants

    with Hub() as server, serving(server):
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        for name, value in {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(cache / "hf"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_DISABLE_TELEMETRY": True,
            "HF_TOKEN_PATH": str(cache / "token"),
        }.items():
            monkeypatch.setattr(constants, name, value)
        yield server


class _Nothing:
    def set(self) -> None:
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def answer(self) -> None:
        hub, path = self.server, unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        hub.asked.append(f"{self.command} {path}")
        refused = next((status for pattern, status in hub.refuse.items() if re.search(pattern, path)), None)
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if refused is not None:
            return self.say(refused, {"error": "refused"})
        if self.command in ("POST", "PUT") and not path.startswith("/large/") and not allowed:
            return self.say(401, {"error": "Invalid username or password."})
        for pattern, method in ROUTES.items():
            if match := re.fullmatch(pattern, f"{self.command.replace('HEAD', 'GET')} {path}"):
                return method(self, body, *match.groups())
        return self.say(404, {"error": f"nothing at {path}"})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def say(self, status: int, content: Any, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def repository(self, name: str) -> Repository | None:
        found = self.server.repositories.get(name)
        private = found is not None and found.private
        if found is None or (private and self.headers.get("Authorization") != f"Bearer {TOKEN}"):
            signed_in = "Authorization" in self.headers
            self.say(404 if signed_in else 401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return None
        return found

    def info(self, body: bytes, name: str, revision: str | None = None) -> None:
        if (repository := self.repository(name)) is None:
            return
        found = repository.at(revision or "main")
        if found is None:
            return self.say(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        about = {"id": name, "sha": found[0], "private": repository.private}
        return self.say(200, {**about, "siblings": [{"rfilename": path} for path in found[1]]})

    def create(self, body: bytes) -> None:
        given = json.loads(body)
        name = f"{given['organization']}/{given['name']}"
        if given["organization"] not in self.server.organisations:
            return self.say(403, {"error": "You don't have the rights to create a model under this namespace"})
        if name in self.server.repositories:
            return self.say(409, {"error": "You already created this model repo", "url": name})
        private = given.get("visibility") == "private" or bool(given.get("private"))
        self.server.repositories[name] = Repository(private)
        return self.say(200, {"url": f"{self.server.url}/{name}", "name": name})

    def branch(self, body: bytes, name: str, branch: str) -> None:
        if (repository := self.repository(name)) is None:
            return
        repository.branches[branch] = repository.branches["main"]
        self.say(200, {})

    def check_yaml(self, body: bytes) -> None:
        self.say(200, {"warnings": [], "errors": []})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        files = json.loads(body)["files"]
        modes = [
            {"path": f["path"], "uploadMode": "lfs" if f["size"] > LARGE else "regular", "shouldIgnore": False}
            for f in files
        ]
        self.say(200, {"files": modes})

    def batch(self, body: bytes, name: str) -> None:
        objects = [
            {**o, "actions": {"upload": {"href": f"{self.server.url}/large/{o['oid']}"}}}
            for o in json.loads(body)["objects"]
        ]
        self.say(200, {"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self.say(400, {"error": "another file"})
        self.server.large[oid] = body
        return self.say(200, b"")

    def commit(self, body: bytes, name: str, revision: str) -> None:
        if (repository := self.repository(name)) is None:
            return None
        files, message = {}, ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        sha = repository.commit(revision, files, message)
        url = f"{self.server.url}/{name}/commit/{sha}"
        return self.say(200, {"commitOid": sha, "commitUrl": url, "hookOutput": "", "success": True})

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        if (repository := self.repository(name)) is None:
            return None
        found = repository.at(revision)
        if found is None or path not in found[1]:
            return self.say(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
        content = found[1][path]
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        return self.say(200, content, X_Repo_Commit=found[0], ETag=etag, X_Linked_Size=str(len(content)))


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = {
    rf"GET /api/models/{NAME}": _Handler.info,
    rf"GET /api/models/{NAME}/revision/(.+)": _Handler.info,
    r"POST /api/repos/create": _Handler.create,
    rf"POST /api/models/{NAME}/branch/(.+)": _Handler.branch,
    r"POST /api/validate-yaml": _Handler.check_yaml,
    rf"POST /api/models/{NAME}/preupload/(.+)": _Handler.preupload,
    rf"POST /{NAME}\.git/info/lfs/objects/batch": _Handler.batch,
    r"PUT /large/([0-9a-f]+)": _Handler.upload,
    rf"POST /api/models/{NAME}/commit/(.+)": _Handler.commit,
    rf"GET /{NAME}/resolve/([^/]+)/(.+)": _Handler.resolve,
}

__all__ = ["TOKEN", "Hub", "Repository", "serving"]
