#!/usr/bin/env python3
"""How exactly `teola emulate` keeps its times under load: so many requests a second, whatever the server does (an open
loop), over connections that stay open.

    emulate_load.py TEOLA [--rate R] [--seconds S] [--within MS]

Half of the requests go to /tool and /web_search, which take a fixed time each, from their arrival: their answers are due
at a time that the client knows too, and it tells how much later each has come, with the way there and back. The others
embed, rerank, search and write text: they share batches, so only the server knows when they are due; its counters tell
how late the ends of all batches and iterations were. Requests that this program itself sent late count from then.

The exit status is 1 when 99 of 100 answers are not within MS (default 1) of their due times, by the client's view, or a
request failed.
"""
import argparse
import json
import math
import pathlib
import re
import select
import signal
import socket
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIG = ROOT / "profiles" / "rtx3090.yaml"
TEXT = "ash bay cay den elm fen gap hut " * 4


def setting(name):
    return float(re.search(rf"\b{name}: ([\d.]+)", CONFIG.read_text()).group(1))


# Path, body, ms from arrival to answer (None: a batch decides). In this order, again and again.
def requests():
    tool = ("/tool", {"name": "add"}, setting("tool_ms"))
    web = ("/web_search", {"query": TEXT}, setting("web_ms"))
    return [tool, ("/v1/embeddings", {"input": [TEXT]}, None),
            web, ("/search", {"collection": "library", "query": TEXT, "count": 4}, None),
            tool, ("/v1/rerank", {"query": TEXT, "documents": [TEXT] * 4}, None),
            web, ("/v1/chat/completions", {"messages": [{"role": "user", "content": TEXT}], "max_tokens": 4}, None)]


def message(path, body):
    body = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    """One request at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self):
        return self.socket.fileno()

    def send(self, what, due_ms):
        self.received = b""
        self.due_ms = due_ms
        self.sent = time.perf_counter()
        self.socket.sendall(what)

    def receive(self):
        """The status when the answer is whole; None before."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise SystemExit("emulate_load.py: the server has closed a connection")
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not end or len(body) < int(length.group(1)):
            return None
        return int(head.split()[1])


def quantile(numbers, p):
    numbers = sorted(numbers)
    return numbers[max(0, math.ceil(p * len(numbers)) - 1)] if numbers else 0


def load(port, rate, seconds):
    """ms that answers came after they were due; ms that requests were sent late; how many failed."""
    kinds = [(message(path, body), due) for path, body, due in requests()]
    free, busy, late, sent_late, failed = [], {}, [], [], 0
    count, sent, start = round(rate * seconds), 0, time.perf_counter() + 0.1
    while sent < count or busy:
        now = time.perf_counter()
        if sent < count and now >= start + sent / rate:
            connection = free.pop() if free else Connection(port)
            sent_late.append((time.perf_counter() - start - sent / rate) * 1000)
            connection.send(*kinds[sent % len(kinds)])
            busy[connection.fileno()] = connection
            sent += 1
            continue
        rest = start + sent / rate - now if sent < count else 1
        for number in select.select(list(busy), [], [], max(0, rest))[0]:  # to the microsecond, as epoll in Python is not
            connection = busy[number]
            status = connection.receive()
            if status is None:
                continue
            failed += status != 200
            if connection.due_ms is not None:
                late.append((time.perf_counter() - connection.sent) * 1000 - connection.due_ms)
            free.append(busy.pop(number))
    return late, sent_late, failed, len(free)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teola")
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--within", type=float, default=1)
    options = parser.parse_args()
    server = subprocess.Popen([options.teola, "emulate", "--config", str(CONFIG), "--listen", ":0"], stdout=subprocess.PIPE,
                              text=True)
    try:
        url = server.stdout.readline().split()[-1]
        late, sent_late, failed, connections = load(int(url.rsplit(":", 1)[1]), options.rate, options.seconds)
        with urllib.request.urlopen(url + "/counters") as answer:
            engines = json.load(answer)["engines"]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
    print(f"{len(sent_late)} requests, {options.rate:g} a second, {connections} connections, {failed} failed; "
          f"sent late by {quantile(sent_late, 0.5):.3f} ms (p50), {quantile(sent_late, 0.99):.3f} ms (p99)\n")
    print("| late, ms | ends or answers | p50 | p99 | most |\n|---|--:|--:|--:|--:|")
    print(f"| answers due at a known time, the client's view | {len(late)} | {quantile(late, 0.5):.3f} | "
          f"{quantile(late, 0.99):.3f} | {max(late, default=0):.3f} |")
    for engine in engines:
        if engine["quanta"] > 0:
            print(f"| ends of {engine['engine']} {engine['instance']}, the server's counter | {engine['quanta']} | "
                  f"{engine['late_ms_p50']:.3f} | {engine['late_ms_p99']:.3f} | {engine['late_ms_most']:.3f} |")
    p99 = quantile(late, 0.99)
    print(f"\n99 of 100 answers came within {p99:.3f} ms of their due times; the limit is {options.within:g} ms.")
    raise SystemExit(1 if p99 > options.within or failed or not late else 0)


if __name__ == "__main__":
    main()
