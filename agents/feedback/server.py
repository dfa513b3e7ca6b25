"""The page's server: four paths of JSON over a store, and the page's own files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agents.feedback.choosing import Disagreement, Item, next_item
from agents.feedback.guard import Guard, Token, is_loopback
from agents.feedback.judgements import KINDS, Comparison, Judgement, Marks, Rating, read_spans, storable
from agents.feedback.store import Conflict, Store
from textgym.errors import one_of, whole_number

PAGE = Path(__file__).with_name("page")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def make_app(
    store: Store, disagreement: Disagreement | None = None, token: Token | None = None, hosts: Iterable[str] = ()
) -> Starlette:
    """The ASGI application.

    ``GET /api/next?annotator=&kind=`` has ``item`` (None: nothing is left to judge) and ``progress``; each ``skip=3-7``
    is an item not to be shown unless it is the last;
    ``POST /api/judgements`` takes ``submission, annotator, kind, page, seconds`` and the answer: ``texts`` (ids in the
    order shown) with ``choice`` (first, second, tie, both_bad), ``rating`` or ``spans``; ``POST /api/undo`` takes
    ``submission, annotator, page`` and has the ``item`` that was withdrawn. What is refused is ``{"error", "detail"}``.

    Args:
        store: where texts come from and judgements go to.
        disagreement: see :func:`next_item`.
        token, hosts: see :class:`Guard`.
    """
    files = {path.name: path.read_bytes() for path in sorted(PAGE.iterdir())}
    version = hashlib.sha256(b"\0".join(files.values())).hexdigest()[:12]
    files["index.html"] = files["index.html"].replace(b"{{version}}", version.encode())

    async def file(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in files:
            return _refused(404, "not_found")
        return Response(files[name], media_type=TYPES[Path(name).suffix])

    async def upcoming(request: Request) -> Response:
        query = request.query_params
        return await _answer(lambda: _upcoming(store, query, disagreement))

    async def judge(request: Request) -> Response:
        body = await request.body()
        return await _answer(lambda: _judge(store, body))

    async def undo(request: Request) -> Response:
        body = await request.body()
        return await _answer(lambda: _undo(store, body))

    async def missing(request: Request, error: Exception) -> Response:
        return _refused(404, "not_found")

    routes = [
        Route("/", file),
        Route("/page/{name}", file),
        Route("/api/next", upcoming),
        Route("/api/judgements", judge, methods=["POST"]),
        Route("/api/undo", undo, methods=["POST"]),
    ]
    guard = Middleware(Guard, token=token, hosts=tuple(hosts))
    return Starlette(routes=routes, middleware=[guard], exception_handlers={404: missing})


async def _answer(work: Callable[[], Any]) -> Response:
    """The result as JSON; in a thread, since the store may wait for other writers."""
    try:
        return JSONResponse(await run_in_threadpool(work))
    except Conflict as error:
        return _refused(409, "conflict", error)
    except (ValueError, TypeError) as error:
        return _refused(422, "refused", error)
    except OSError as error:  # another writer has the store: the page tries again
        return _refused(503, "busy", error)


def _refused(status: int, code: str, error: Exception | None = None) -> Response:
    return JSONResponse({"error": code, "detail": "" if error is None else str(error)}, status)


def _upcoming(store: Store, query: QueryParams, disagreement: Disagreement | None) -> dict[str, Any]:
    annotator, kind = query.get("annotator", ""), query.get("kind", "")
    _name(annotator)
    skip = {tuple(sorted(int(id) for id in ids.split("-"))) for ids in query.getlist("skip")}
    item = next_item(store, annotator, kind, disagreement, skip=skip)
    return {"item": item and _shown(item), "progress": progress(store, annotator, kind)}


def progress(store: Store, annotator: str, kind: str) -> dict[str, int]:
    """``texts`` in the store, ``covered``: those with a judgement of this kind, ``own``: this annotator's, ``all``."""
    one_of("kind of judgement", kind, KINDS)
    counts = """
        SELECT (SELECT count(*) FROM texts),
            (SELECT count(*) FROM tallies WHERE kind = :kind AND judgements > 0),
            coalesce(sum(judgements) FILTER (WHERE name = :annotator), 0),
            coalesce(sum(judgements), 0)
        FROM counts JOIN annotators ON id = annotator_id WHERE kind = :kind
    """
    row = store.query(counts, {"kind": kind, "annotator": annotator})[0]
    return dict(zip(("texts", "covered", "own", "all"), row, strict=True))


def _shown(item: Item) -> dict[str, Any]:
    """What the page may know of an item: neither who wrote it nor how good it is."""
    first = item.texts[0]
    texts = [{"id": text.id, "text": text.text} for text in item.texts]
    return {"kind": item.kind, "task": first.task, "prompt": first.prompt, "texts": texts}


def _judge(store: Store, body: bytes) -> dict[str, Any]:
    given = _object(
        body, ("submission", "annotator", "kind", "texts", "page"), ("seconds", "choice", "rating", "spans")
    )
    _name(given["annotator"])
    answer = _read_answer(given)
    more = {"page": given["page"], "seconds": given.get("seconds")}
    receipt = store.submit_all([Judgement(answer, given["annotator"], given["submission"], **more)])[0]
    return {"id": receipt.id, "stored": receipt.stored}


def _read_answer(given: dict[str, Any]) -> Comparison | Rating | Marks:
    kind, texts = one_of("kind of judgement", given["kind"], KINDS), given["texts"]
    count, needed = (2, "choice") if kind == "comparison" else (1, "rating" if kind == "rating" else "spans")
    if not isinstance(texts, list) or len(texts) != count:
        raise ValueError(f"texts must be a list of {count} ids, got {texts!r:.80}")
    if needed not in given:
        raise ValueError(f"a {kind} needs {needed}")
    if kind == "rating":
        return Rating(texts[0], given["rating"])
    if kind == "comparison":
        sides = {"first": "a", "second": "b", "tie": "tie", "both_bad": "both_bad"}
        return Comparison(*texts, sides[one_of("choice", given["choice"], sides)], first="a")
    return Marks(texts[0], read_spans(given["spans"]))


def _undo(store: Store, body: bytes) -> dict[str, Any]:
    given = _object(body, ("submission", "annotator", "page"))
    _name(given["annotator"])
    judgement = store.undo(given["annotator"], given["submission"], given["page"])
    if judgement is None:
        return {"item": None}
    answer = judgement.answer
    shown = answer.texts[::-1] if isinstance(answer, Comparison) and answer.first == "b" else answer.texts
    return {"item": _shown(Item(answer.kind, tuple(store.texts(shown))))}


def _object(body: bytes, needed: Iterable[str], also: Iterable[str] = ()) -> dict[str, Any]:
    """A request's JSON object with the fields it must and may have."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"JSON is needed: {error}") from error
    if not isinstance(given, dict):
        raise ValueError("a JSON object is needed")
    missing = [name for name in needed if name not in given]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")
    for name in given:
        one_of("field", name, (*needed, *also))
    return given


def _name(annotator: Any) -> None:
    if not storable("annotator", annotator, 80).strip():
        raise ValueError("annotator must not be empty")


@dataclass
class ServeArgs:
    """Serve the page on which texts are judged. It needs no network; others may write the store meanwhile."""

    store: Path
    """The file with the texts and judgements; made where there is none."""
    host: str = "127.0.0.1"
    """The address to listen on; any other than this machine's own asks visitors for a token."""
    port: int = 8765
    """The port; 0: any that is free."""
    hours: float = 12.0
    """How long the token is valid."""
    allow_host: tuple[str, ...] = ()
    """Names by which others reach this machine (IP addresses need not be named)."""
    reward_model: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Show first what the members of this reward model (agents.reward_model.train) disagree about most."""


def serve(args: ServeArgs, disagreement: Disagreement | None = None) -> None:
    """Serve until interrupted; prints the link once the page can be opened.

    Raises:
        ValueError: a port, time or store that cannot be.
        OSError: the address cannot be listened on.
    """
    import uvicorn

    whole_number("port", args.port, 0, 65535)
    if disagreement is None and args.reward_model is not None:
        from agents.reward_model import disagreement as of_model

        disagreement = of_model(args.reward_model)
    if not 0 < args.hours <= 24 * 365:
        raise ValueError(f"hours must be more than 0, and at most a year, got {args.hours}")
    token = None if is_loopback(args.host) else Token(time.time() + 3600 * args.hours)
    with Store(args.store) as store:
        app = make_app(store, disagreement, token, (*args.allow_host, socket.gethostname()))
        with contextlib.closing(listen(args.host, args.port)) as listening:
            texts = store.query("SELECT count(*) FROM texts")[0][0]
            print(
                f"{args.store}: {texts:,} texts. The page is at {_link(args, listening, token)} (Ctrl-C ends it)",
                flush=True,
            )
            if token is not None:
                print(
                    f"Who has this link may judge, for {args.hours:g} hours; it is not encrypted on its way.",
                    flush=True,
                )
            config = uvicorn.Config(app, log_level="warning", server_header=False, proxy_headers=False, lifespan="off")
            with contextlib.suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any that is free.

    Raises:
        OSError: it cannot.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family)
    except OSError as error:
        raise OSError(f"cannot listen on {host!r}, port {port}: {error.strerror or error}") from error
    # each connection has it from here; without, an answer waits 40 ms for the receipt of the one before
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _link(args: ServeArgs, listening: socket.socket, token: Token | None) -> str:
    host = args.host
    if host in ("0.0.0.0", "::", ""):
        host = args.allow_host[0] if args.allow_host else socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    fragment = "" if token is None else f"#token={token.secret}"
    return f"http://{host}:{listening.getsockname()[1]}/{fragment}"
