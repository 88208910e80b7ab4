"""A server on loopback that speaks what a model hub and a file server speak, with their faults. Used by fetch_test.c.

usage: server.py

Prints one line of JSON (port, size, digests of the contents A and B) and serves until standard input ends.
The first part of the path says how it behaves; everything is counted and can be read from /log.
"""
import hashlib
import http.server
import json
import os
import sys
import threading

SIZE = 1_500_000


def content(seed):
    blocks = []
    for number in range(SIZE // 32 + 1):
        blocks.append(hashlib.sha256(f"{seed}{number}".encode()).digest())
    return b"GGUF" + b"".join(blocks)[: SIZE - 4]


A, B = content("a"), content("b")
ETAGS = {A: '"content-a"', B: '"content-b"'}
TOKEN = "secret-token"


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log = []
    seen = {}
    lock = threading.Lock()

    def log_message(self, *arguments):
        pass

    def visits(self):
        """How often this path was asked for, this time included."""
        with self.lock:
            self.seen[self.path] = self.seen.get(self.path, 0) + 1
            return self.seen[self.path]

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, data, etag=True, cut=None):
        """The file, or the range asked for; with `cut` the connection breaks after so many bytes."""
        start, asked = 0, self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if asked and (condition is None or condition == ETAGS[data]):
            start = int(asked.removeprefix("bytes=").split("-")[0])
        if start >= len(data):
            self.answer(416)
            return
        body = data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if etag:
            self.send_header("ETag", ETAGS[data])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def send_tree(self):
        def file(path, data=A, **more):
            return {"type": "file", "path": path, "size": len(data), "oid": "0" * 40,
                    "lfs": {"oid": digest(data), "size": len(data), "pointerSize": 135}, **more}

        changed = B if "moving" in self.path and self.visits() > 1 else A
        tree = [
            {"type": "directory", "path": "big"},
            {"type": "file", "path": "README.md", "size": 12, "oid": "1" * 40},
            file("Tiny-Q4_K_M.gguf", changed),
            file("Tiny v2-Q8_0.gguf", B),
            file("mmproj-Q4_K_M.gguf", B),
            file("big/Tiny-F16-00001-of-00002.gguf"),
            file("big/Tiny-F16-00002-of-00002.gguf"),
        ]
        self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")

    def do_GET(self):
        kind, authorization = self.path.split("/")[1], self.headers.get("Authorization")
        if kind == "log":
            self.answer(200, json.dumps(self.log).encode())
            return
        with self.lock:
            self.log.append({"path": self.path, "range": self.headers.get("Range"),
                             "if_range": self.headers.get("If-Range"), "authorization": authorization,
                             "host": self.headers.get("Host")})
        port = self.server.server_address[1]
        if kind == "plain":
            self.send_file(A)
        elif kind == "no-etag":
            self.send_file(A, etag=False, cut=400_000 if self.visits() == 1 else None)
        elif kind == "cut":  # breaks off four times, each time a little later
            self.send_file(A, cut=300_000 if self.visits() <= 4 else None)
        elif kind == "always-cut":
            self.send_file(A, cut=0 if self.visits() > 1 else 100_000)
        elif kind == "changed":  # A breaks off, then the file is B
            first = self.visits() == 1
            self.send_file(A if first else B, cut=700_000 if first else None)
        elif kind == "busy":
            if self.visits() <= 2:
                self.answer(503, b"later")
            else:
                self.send_file(A)
        elif kind == "other":
            self.send_file(B)
        elif kind == "endless":  # no length; more than was promised
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                self.wfile.write(A + B)
            except OSError:
                pass
        elif kind == "short":
            self.answer(200, A[:1000])
        elif kind == "secret":
            if authorization == f"Bearer {TOKEN}":
                self.send_file(A)
            else:
                self.answer(401)
        elif kind == "elsewhere":  # another host, as its name goes
            self.answer(302, Location=f"http://localhost:{port}/open/x")
        elif kind == "here":
            self.answer(307, Location="/secret/x")
        elif kind == "open":
            if authorization:
                self.answer(400)
            else:
                self.send_file(A)
        elif kind == "outside":
            self.answer(302, Location="http://models.example/x")
        elif kind == "loop":
            self.answer(302, Location="/loop/x")
        elif kind == "silent":
            self.server.stop.wait()
        elif kind == "api":
            self.send_tree()
        elif "/resolve/" in self.path and (kind != "private" or authorization == f"Bearer {TOKEN}"):
            data = B if self.path.endswith("Q8_0.gguf") else A
            self.send_file(data)
        else:
            self.answer(401 if kind == "private" else 404)


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.stop = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_address[1], "size": SIZE, "a": digest(A), "b": digest(B)}), flush=True)
    sys.stdin.read()
    server.stop.set()
    os._exit(0)


if __name__ == "__main__":
    main()
