"""The feedback page's server in a thread, and requests to it."""

import http.client
import json
import threading
import time
from contextlib import contextmanager

import uvicorn

from agents.feedback import Store, Text
from agents.feedback.server import listen, make_app

TEXTS = [Text("Copy-v0", "p", f"text {i}", "secret.pt", i, 0.123) for i in range(3)] + [Text("Copy-v0", "q", "other")]


class Client:
    """Requests as a browser would send them, but for what a test says."""

    def __init__(self, port, store):
        self.port, self.store = port, store

    def request(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        own = {"Content-Type": "application/json"} if data is not None else {}
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, data, {**own, **headers})
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        said = json.loads(read) if answer.headers.get_content_type() == "application/json" else read.decode()
        return answer.status, said, answer.headers

    def judge(self, **changed):
        body = {"submission": "s", "annotator": "ann", "kind": "rating", "page": "v", "texts": [1], "rating": 4}
        body = {name: value for name, value in {**body, **changed}.items() if value is not ...}
        return self.request("POST", "/api/judgements", body)[:2]


@contextmanager
def serving(path, texts=TEXTS, **options):
    store = Store(path)
    store.add_texts(texts)
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(store, **options), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Client(listening.getsockname()[1], store)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
        store.close()
