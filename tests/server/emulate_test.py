"""`teola emulate` as its users see it: answers, streams, counters, what it refuses, clients that leave.
Nothing here looks at a clock: that quanta take their time is the engines' own test."""
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request

PROGRAM, CONFIG = sys.argv[1], sys.argv[2]


class Emulate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen([PROGRAM, "emulate", "--config", CONFIG, "--listen", ":0"],
                                      stdout=subprocess.PIPE, text=True)
        cls.url = cls.server.stdout.readline().split()[-1]
        cls.port = int(cls.url.rsplit(":", 1)[1])

    @classmethod
    def tearDownClass(cls):
        cls.server.send_signal(signal.SIGINT)
        code = cls.server.wait(30)
        cls.server.stdout.close()
        assert code == 0, f"the server ended with {code}"

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode() if not isinstance(body, bytes) else body
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data), timeout=60) as answer:
            text = answer.read().decode()
        return text if "event-stream" in answer.headers["Content-Type"] else json.loads(text)

    def refusal(self, path, body):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.ask(path, body)
        with caught.exception as error:
            return error.code, json.loads(error.read())["error"]["message"]

    def engine(self, name):
        rows = [row for row in self.ask("/counters")["engines"] if row["engine"] == name]
        return {key: sum(row[key] for row in rows) for key in ("jobs", "quanta", "units", "tokens_in", "tokens_out")}

    def chat(self, text, **more):
        return self.ask("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **more})

    def test_chat_is_repeatable_and_streams_the_same_text(self):
        whole = self.chat("What is a rowid?", max_tokens=6)
        choice, usage = whole["choices"][0], whole["usage"]
        self.assertEqual(len(choice["message"]["content"].split()), 6)
        self.assertEqual((choice["finish_reason"], usage["completion_tokens"]), ("length", 6))
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + 6)
        events = [line[6:] for line in self.chat("What is a rowid?", max_tokens=6, stream=True,
                                                 stream_options={"include_usage": True}).splitlines() if line]
        self.assertEqual(events.pop(), "[DONE]")
        events = [json.loads(event) for event in events]
        self.assertEqual(events.pop()["usage"]["completion_tokens"], 6)
        self.assertEqual(events.pop()["choices"][0]["finish_reason"], "length")
        self.assertEqual("".join(event["choices"][0]["delta"]["content"] for event in events),
                         choice["message"]["content"])
        self.assertEqual(len(events), 6)
        self.assertEqual([event["choices"][0]["delta"].get("role") for event in events], ["assistant"] + 5 * [None])

    def test_completions(self):
        answer = self.ask("/v1/completions", {"prompt": "Once upon", "max_tokens": 3})
        self.assertEqual(len(answer["choices"][0]["text"].split()), 3)

    def test_requests_at_once_share_iterations(self):
        before = self.engine("llm")
        threads = [threading.Thread(target=self.chat, args=(f"question {i}",), kwargs={"max_tokens": 40})
                   for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = self.engine("llm")
        self.assertEqual(after["tokens_out"] - before["tokens_out"], 8 * 40)
        self.assertLess(after["quanta"] - before["quanta"], 8 * 40)

    def test_embeddings_follow_from_texts(self):
        data = self.ask("/v1/embeddings", {"input": ["the blue sky", "green grass", "the blue sky"]})["data"]
        self.assertEqual(data[0]["embedding"], data[2]["embedding"])
        self.assertNotEqual(data[0]["embedding"], data[1]["embedding"])
        self.assertAlmostEqual(sum(x * x for x in data[0]["embedding"]), 1, places=4)

    def test_rerank_sorts(self):
        answer = self.ask("/v1/rerank", {"query": "blue sky", "documents": ["red", "the sky is blue", {"text": "blue"}],
                                         "top_n": 2})
        self.assertEqual([row["index"] for row in answer["results"]], [1, 2])

    def test_store(self):
        vectors = [row["embedding"] for row in self.ask("/v1/embeddings", {"input": ["the sky", "green grass"]})["data"]]
        rows = self.ask("/ingest", {"collection": "c", "texts": ["the sky", "green grass"], "vectors": vectors})
        self.assertEqual(rows, {"rows": 2})
        hits = self.ask("/search", {"collection": "c", "vectors": vectors, "count": 1})["hits"]
        self.assertEqual([[hit["text"] for hit in found] for found in hits], [["the sky"], ["green grass"]])
        hits = self.ask("/search", {"collection": "c", "query": "grass"})["hits"]
        self.assertEqual([hit["text"] for hit in hits], ["green grass"])

    def test_web_and_tool(self):
        self.assertEqual(len(self.ask("/web_search", {"query": "sky"})["hits"]), 5)
        self.assertEqual(self.ask("/tool", {"name": "add"})["result"], {"name": "add"})

    def test_lateness_is_counted(self):
        for _ in range(3):
            self.ask("/tool", {"name": "add"})
        for row in self.ask("/counters")["engines"]:
            self.assertLessEqual(0, row["late_ms_p50"])
            self.assertLessEqual(row["late_ms_p50"], row["late_ms_p99"])
            self.assertLessEqual(row["late_ms_p99"], row["late_ms_most"])

    def test_models(self):
        self.assertIn("llm", [model["id"] for model in self.ask("/v1/models")["data"]])

    def test_refusals_say_what_was_expected(self):
        for path, body, code, part in [
                ("/v1/chat/completions", {}, 400, "messages"),
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": 3}]}, 400, "messages[0]"),
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 0}, 400,
                 "max_tokens"),
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a" * 200000}]}, 400, "tokens"),
                ("/v1/completions", {"prompt": 3}, 400, "prompt"),
                ("/v1/embeddings", {"input": [1]}, 400, "input"),
                ("/v1/embeddings", b'{"input": ', 400, "line 1"),
                ("/v1/embeddings", b'[]', 400, "object"),
                ("/v1/rerank", {"query": "a"}, 400, "documents"),
                ("/ingest", {"texts": ["a"], "vectors": []}, 400, "vectors"),
                ("/search", {}, 400, "vector"),
                ("/health", {}, 405, "GET"),
                ("/nothing", {}, 404, "/nothing")]:
            with self.subTest(path=path, body=body):
                got, message = self.refusal(path, body)
                self.assertEqual(got, code)
                self.assertIn(part, message)

    def test_a_client_that_leaves_is_cancelled(self):
        for stream in (False, True):
            left = self.ask("/counters")["clients_left"]
            body = json.dumps({"messages": [{"role": "user", "content": "long"}], "max_tokens": 64, "stream": stream})
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                connection.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
                                   f"\r\n\r\n{body}".encode())
            for _ in range(1000):
                if self.ask("/counters")["clients_left"] > left:
                    break
                time.sleep(0.01)
            else:
                self.fail("the server does not notice that its client has left")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=0)
