"""A local server that speaks as much of the Hugging Face Hub's protocol as publishing and load_dataset use."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager

from avcurate.viewer.serve import listening


class Hub:
    """Datasets in memory.

    Attributes:
        repos: by name, ``private`` and ``files`` (path to bytes); objects: large files by digest.
        sent: digests of large files in the order they arrived; fail_after: refuse large files after so many.
    """

    def __init__(self):
        self.repos, self.objects, self.sent, self.fail_after, self.tokens = {}, {}, [], None, set()
        self.tried = 0
        self.address = ""

    def app(self):
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route

        def known(request):
            self.tokens.add(request.headers.get("authorization"))
            return self.repos.get(f"{request.path_params['owner']}/{request.path_params['name']}")

        def missing():
            return JSONResponse({"error": "not found"}, 404, headers={"X-Error-Code": "RepoNotFound"})

        async def create(request):
            self.tokens.add(request.headers.get("authorization"))
            if request.headers.get("authorization") != "Bearer hf_right":
                return JSONResponse({"error": "Invalid token"}, 401)
            body = await request.json()
            name = f"{body['organization']}/{body['name']}"
            if name in self.repos:
                return JSONResponse({"url": f"{self.address}/datasets/{name}"}, 409)
            self.repos[name] = {"private": body.get("private", body.get("visibility") == "private"), "files": {}}
            return JSONResponse({"url": f"{self.address}/datasets/{name}"})

        async def yaml(request):
            return JSONResponse({"errors": [], "warnings": []})

        def info(request):
            repo = known(request)
            if repo is None:
                return missing()
            return JSONResponse(
                {
                    "_id": "1",
                    "id": f"{request.path_params['owner']}/{request.path_params['name']}",
                    "sha": "a" * 40,
                    "private": repo["private"],
                    "tags": [],
                    "downloads": 0,
                    "likes": 0,
                    "siblings": [{"rfilename": p} for p in repo["files"]],
                }
            )

        def entry(path, data):
            entry = {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            if path.endswith((".parquet", ".tar")):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 1}
            return entry

        def tree(request):
            repo, below = known(request), request.path_params.get("path", "")
            if repo is None:
                return missing()
            inside = {p: d for p, d in repo["files"].items() if not below or p.startswith(f"{below}/")}
            if below and not inside:
                return JSONResponse({"error": "no entry"}, 404, headers={"X-Error-Code": "EntryNotFound"})
            entries = [entry(p, d) for p, d in inside.items()]
            if request.query_params.get("recursive", "").lower() != "true":
                cut = len(below) + 1 if below else 0
                folders = {p[: p.index("/", cut)] for p in inside if "/" in p[cut:]}
                entries = [e for e in entries if "/" not in e["path"][cut:]]
                entries += [{"type": "directory", "path": f, "size": 0, "oid": "0" * 40} for f in folders]
            return JSONResponse(entries)

        async def paths(request):
            form = await request.form()
            wanted = form.getlist("paths")
            repo = known(request)
            return JSONResponse([entry(p, repo["files"][p]) for p in wanted if p in repo["files"]])

        async def preupload(request):
            body = await request.json()
            large = (".parquet", ".tar")
            return JSONResponse(
                {
                    "files": [
                        {
                            "path": f["path"],
                            "uploadMode": "lfs" if f["path"].endswith(large) else "regular",
                            "shouldIgnore": False,
                            "oid": None,
                        }
                        for f in body["files"]
                    ]
                }
            )

        async def batch(request):
            body = await request.json()
            objects = []
            for o in body["objects"]:
                href = {"upload": {"href": f"{self.address}/lfs/{o['oid']}"}}
                objects.append(o | ({} if o["oid"] in self.objects else {"actions": href}))
            return JSONResponse({"transfer": "basic", "objects": objects})

        async def put(request):
            self.tried += 1
            if self.fail_after is not None and self.tried > self.fail_after:
                return Response("storage is down", 400)
            data = await request.body()
            oid = request.path_params["oid"]
            assert hashlib.sha256(data).hexdigest() == oid
            self.objects[oid] = data
            self.sent.append(oid)
            return Response()

        async def commit(request):
            repo = known(request)
            for line in (await request.body()).decode().splitlines():
                operation = json.loads(line)
                value = operation["value"]
                if operation["key"] == "file":
                    repo["files"][value["path"]] = base64.b64decode(value["content"])
                elif operation["key"] == "lfsFile":
                    repo["files"][value["path"]] = self.objects[value["oid"]]
                elif operation["key"] == "deletedFile":
                    del repo["files"][value["path"]]
            name = f"{request.path_params['owner']}/{request.path_params['name']}"
            url = f"{self.address}/datasets/{name}/commit/{'a' * 40}"
            return JSONResponse({"commitUrl": url, "commitOid": "a" * 40, "success": True})

        def resolve(request):
            repo = known(request)
            data = None if repo is None else repo["files"].get(request.path_params["path"])
            if data is None:
                return JSONResponse({"error": "no entry"}, 404, headers={"X-Error-Code": "EntryNotFound"})
            headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": "a" * 40}
            headers["Accept-Ranges"] = "bytes"
            return Response(data, headers=headers, media_type="application/octet-stream")

        repo = "/api/datasets/{owner}/{name}"
        routes = [
            Route("/api/repos/create", create, methods=["POST"]),
            Route("/api/validate-yaml", yaml, methods=["POST"]),
            Route(repo, info),
            Route(repo + "/revision/{revision}", info),
            Route(repo + "/tree/{revision}", tree),
            Route(repo + "/tree/{revision}/{path:path}", tree),
            Route(repo + "/paths-info/{revision}", paths, methods=["POST"]),
            Route(repo + "/preupload/{revision}", preupload, methods=["POST"]),
            Route(repo + "/commit/{revision}", commit, methods=["POST"]),
            Route("/datasets/{owner}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"]),
            Route("/lfs/{oid}", put, methods=["PUT"]),
            Route("/datasets/{owner}/{name}/resolve/{revision}/{path:path}", resolve),
        ]
        return Starlette(routes=routes)


@contextmanager
def serving():
    """A stand-in that answers on this machine."""
    import uvicorn

    hub = Hub()
    with listening(0) as listener:
        hub.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(hub.app(), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield hub
        server.should_exit = True
        thread.join(10)
