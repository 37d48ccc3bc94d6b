"""The recording: shop, visitors and attackers over loopback, written down as captured packets with ground truth.

The shop runs under uvicorn on loopback sockets, one per site. Visitors and attackers send hand-written bytes over
real connections to it; a tap on each connection writes what passed as Ethernet frames, with an address of its own
per visitor and a clock of its own that spreads the traffic over several days. Sessions run many at a time but are
written in the order of their plan, so the same seed gives the same file.
"""

import asyncio
import heapq
import ipaddress
import os
import socket
import struct
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.lab.attacker import CLASS_SHARES, MALFORMED, raid
from secmlops.web_attacks.lab.crawler import SUSPICIOUS, visit
from secmlops.web_attacks.lab.frames import Connection, Endpoint, Frame, write_frame, write_pcap_header
from secmlops.web_attacks.lab.labels import LabLabel, labels_path, wire_digest
from secmlops.web_attacks.lab.shop import Receive, Scope, Send, Shop, hash_share
from secmlops.web_attacks.lab.sites import SITES, Site
from secmlops.web_attacks.lab.wire import LabReply, LabRequest
from secmlops.web_attacks.taxonomy import ATTACK

EPOCH_S: Final = 1772409600.0  # 2026-03-02 00:00 UTC, a Monday
SPAN_S: Final = 5 * 86400.0
_IDLE_CLOSE_S: Final = 65.0
_SESSIONS_AT_ONCE: Final = 24
_KEEP_ALIVE_S: Final = 15  # uvicorn holds on to reset connections for this long
_REPLY_TIMEOUT_S: Final = 20.0
_MAX_REPLY_BYTES: Final = 4 << 20
_IPV6_SHARE: Final = 0.12

Progress = Callable[[int, int], None]


class LabError(SecmlopsError):
    """The lab cannot record as asked."""


@dataclass(frozen=True, slots=True)
class LabSummary:
    """What was recorded.

    Attributes:
        pcap: the capture.
        labels: its ground truth, one JSON line per request.
        seed: what it was recorded from.
        normal: harmless requests.
        suspicious_benign: how many of them carry text that merely looks like an attack.
        attacks: attack requests.
        per_class: attack requests per attack class.
        per_site: requests per site.
        malformed: attack requests with a broken message.
        unanswered: requests that the server closed on without a word.
        per_status: replies per HTTP status.
        connections: TCP connections.
        frames: frames written.
        pcap_bytes: size of the capture.
        first_time: seconds since the epoch of the first request, in recorded time.
        last_time: likewise of the last.
        elapsed_s: how long the recording took.
    """

    pcap: Path
    labels: Path
    seed: int
    normal: int
    suspicious_benign: int
    attacks: int
    per_class: dict[str, int]
    per_site: dict[str, int]
    malformed: int
    unanswered: int
    per_status: dict[int, int]
    connections: int
    frames: int
    pcap_bytes: int
    first_time: float
    last_time: float
    elapsed_s: float

    def to_json(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return {**asdict(self), "pcap": str(self.pcap), "labels": str(self.labels)}


@dataclass(frozen=True, slots=True)
class Plan:
    """One session to come.

    Attributes:
        number: its position in time; with the recording's seed it decides everything about the session.
        start_s: when it starts, seconds since the epoch in recorded time.
        normal: harmless requests in it.
        attacks: the attack classes to send after them.
    """

    number: int
    start_s: float
    normal: int
    attacks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Session:
    """What a finished session leaves behind."""

    frames: list[Frame] = field(default_factory=list)
    labels: list[LabLabel] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    connections: int = 0


def record(
    out_pcap: Path,
    *,
    normal: int,
    attacks: int,
    seed: int,
    sites: int = 4,
    on_progress: Progress | None = None,
) -> LabSummary:
    """Record lab traffic as a pcap with its ground truth beside it (`<out>.labels.jsonl`).

    The same arguments give the same requests, labels and capture on the same version of uvicorn and its parser.
    Memory holds the plan (a few dozen bytes a session) and the sessions that overlap in time.

    Args:
        out_pcap: the capture to write; replaced when it exists.
        normal: how many harmless requests, an eighth of them merely suspicious.
        attacks: how many attack requests, over all attack classes by `attacker.CLASS_SHARES`.
        seed: decides visitors, payloads, addresses, times and disturbances.
        sites: how many of the lab's sites take part, 1 to 6.
        on_progress: called with requests recorded and requests planned, about a hundred times.

    Raises:
        LabError: counts are negative or all zero, there are not that many sites, or the folder does not exist.
    """
    _check(out_pcap, normal, attacks, sites)
    started = time.monotonic()
    plans = plan(normal, attacks, seed)
    job = _Recording(out_pcap, SITES[:sites], seed, normal + attacks, on_progress)
    with job.files():
        _run(job, plans)
    return job.summary(time.monotonic() - started)


def plan(normal: int, attacks: int, seed: int) -> list[Plan]:
    """Cut the wanted numbers of requests into sessions, in order of time; the totals are exact."""
    rng = Random(f"plan:{seed}")
    sizes: list[tuple[int, tuple[str, ...]]] = []
    classes, at, left = _class_deck(attacks, rng), 0, normal
    while at < len(classes):
        size = min(len(classes) - at, rng.choice([1, 1, 2, 3, 5, 8, 13, 21]))
        first = min(left, rng.choice([0, 0, 1, 2, 4]))
        sizes.append((first, tuple(classes[at : at + size])))
        at, left = at + size, left - first
    while left:
        size = min(left, 1 + int(rng.expovariate(1 / 11)))
        sizes.append((size, ()))
        left -= size
    rng.shuffle(sizes)
    starts = sorted(_moment(rng) for _ in sizes)
    return [Plan(i, start, size[0], size[1]) for i, (start, size) in enumerate(zip(starts, sizes, strict=True))]


def _class_deck(attacks: int, rng: Random) -> list[str]:
    """Attack classes in their exact shares, in runs, as attackers try one thing several times."""
    names = list(CLASS_SHARES)
    left = [int(attacks * share) for share in CLASS_SHARES.values()]
    for i in range(attacks - sum(left)):
        left[i % len(names)] += 1
    deck = array("B")
    while len(deck) < attacks:
        pick = rng.choices(range(len(names)), left)[0]
        run = min(left[pick], rng.choice([1, 1, 2, 3, 5, 8]))
        deck.extend([pick] * run)
        left[pick] -= run
    return [names[i] for i in deck]


def _moment(rng: Random) -> float:
    """A start time: any of the days, more in the afternoon and evening than at night."""
    day = rng.randrange(int(SPAN_S // 86400))
    return EPOCH_S + day * 86400 + rng.triangular(0, 86399, 62000)


def _check(out_pcap: Path, normal: int, attacks: int, sites: int) -> None:
    if normal < 0 or attacks < 0 or normal + attacks == 0:
        raise LabError(f"cannot record {normal} normal and {attacks} attack requests: give two counts, not both zero")
    if not 1 <= sites <= len(SITES):
        raise LabError(f"the lab has {len(SITES)} sites, not {sites}: choose 1 to {len(SITES)}")
    if not Path(out_pcap).absolute().parent.is_dir():
        raise LabError(f"the folder of {out_pcap} does not exist: create it first")


def _run(job: "_Recording", plans: Sequence[Plan]) -> None:
    """Run the recording in a loop of its own; in another thread where this one already runs a loop (a notebook)."""
    if not _loop_is_running():
        asyncio.run(job.run(plans))
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, job.run(plans)).result()


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Recording:
    """One recording under way: the server, the sessions at work, and the files."""

    def __init__(self, out_pcap: Path, sites: Sequence[Site], seed: int, total: int, on_progress: Progress | None):
        self._pcap = Path(out_pcap)
        self._labels = labels_path(self._pcap)
        self._sites = sites
        self._seed = seed
        self._total = total
        self._on_progress = on_progress
        self._ports: list[int] = []
        self._taps: dict[int, _Tap] = {}
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._counts: Counter[str] = Counter()
        self._per_class: Counter[str] = Counter()
        self._per_site: Counter[str] = Counter()
        self._per_status: Counter[int] = Counter()
        self._times = [float("inf"), float("-inf")]

    @contextmanager
    def files(self) -> Iterator[None]:
        """Open both files under temporary names and give them their own when all went well."""
        parts = [path.with_name(path.name + ".part") for path in (self._pcap, self._labels)]
        try:
            with parts[0].open("wb") as self._pcap_file, parts[1].open("w", encoding="ascii") as self._labels_file:
                write_pcap_header(self._pcap_file)
                yield
            for part, path in zip(parts, (self._pcap, self._labels), strict=True):
                os.replace(part, path)
        finally:
            for part in parts:
                part.unlink(missing_ok=True)

    async def run(self, plans: Sequence[Plan]) -> None:
        """Run all sessions against the server and write them down in order."""
        async with self._server():
            pending: deque[tuple[Plan, asyncio.Task[_Session]]] = deque()
            try:
                for planned in plans:
                    pending.append((planned, asyncio.create_task(self._session(planned))))
                    if len(pending) >= _SESSIONS_AT_ONCE:
                        await self._write_first(pending)
                while pending:
                    await self._write_first(pending)
            finally:
                for _, task in pending:
                    task.cancel()
        self._flush(float("inf"))

    async def _write_first(self, pending: "deque[tuple[Plan, asyncio.Task[_Session]]]") -> None:
        planned, task = pending[0]
        self._flush(planned.start_s)
        finished = await task
        pending.popleft()
        for place, (time_s, data) in enumerate(finished.frames):
            heapq.heappush(self._waiting, (time_s, planned.number, place, data))
        before = self._counts["requests"]
        for label in finished.labels:
            self._count(label)
            self._labels_file.write(label.to_line() + "\n")
        self._per_status.update(finished.statuses)
        self._counts["connections"] += finished.connections
        step = max(1, self._total // 100)
        done = self._counts["requests"]
        if self._on_progress and (before // step != done // step or done == self._total):
            self._on_progress(done, self._total)

    def _flush(self, until: float) -> None:
        """Write the frames before `until`: no session still to come starts earlier."""
        while self._waiting and self._waiting[0][0] < until:
            time_s, _, _, data = heapq.heappop(self._waiting)
            write_frame(self._pcap_file, (time_s, data))
            self._counts["frames"] += 1

    def _count(self, label: LabLabel) -> None:
        self._counts["requests"] += 1
        self._counts[label.label1] += 1
        self._counts[SUSPICIOUS] += SUSPICIOUS in label.tags
        self._counts[MALFORMED] += MALFORMED in label.tags
        if label.label1 == ATTACK:
            self._per_class[label.label2] += 1
        self._per_site[label.site] += 1
        self._times = [min(self._times[0], label.time), max(self._times[1], label.time)]

    def summary(self, elapsed_s: float) -> LabSummary:
        """The counts of the finished recording."""
        return LabSummary(
            pcap=self._pcap,
            labels=self._labels,
            seed=self._seed,
            normal=self._counts["normal"],
            suspicious_benign=self._counts[SUSPICIOUS],
            attacks=self._counts["attack"],
            per_class=dict(sorted(self._per_class.items())),
            per_site=dict(sorted(self._per_site.items())),
            malformed=self._counts[MALFORMED],
            unanswered=self._per_status[0],
            per_status=dict(sorted(self._per_status.items())),
            connections=self._counts["connections"],
            frames=self._counts["frames"],
            pcap_bytes=self._pcap.stat().st_size,
            first_time=self._times[0],
            last_time=self._times[1],
            elapsed_s=elapsed_s,
        )

    async def _session(self, planned: Plan) -> _Session:
        rng = Random(f"session:{self._seed}:{planned.number}")
        index = rng.randrange(len(self._sites))
        site = self._sites[index]
        client_address, server_address = _addresses(site, rng, planned.number)
        taps = _Taps(self, site, index, client_address, server_address, rng)
        script: Generator[LabRequest, LabReply, None]
        script = (
            raid(site, rng, planned.attacks, planned.normal) if planned.attacks else visit(site, rng, planned.normal)
        )
        try:
            await taps.play(script, planned.start_s)
        finally:
            taps.abort()
        return taps.session

    @asynccontextmanager
    async def _server(self) -> Any:
        """The shops under uvicorn, one loopback socket per site."""
        import uvicorn

        class Quiet(uvicorn.Server):
            """Leaves signals to the program that records."""

            @contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

        sockets = [_listener() for _ in self._sites]
        self._ports = [listener.getsockname()[1] for listener in sockets]
        shops = {port: Shop(site, self._seed) for port, site in zip(self._ports, self._sites, strict=True)}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            tap = self._taps[scope["client"][1]]
            scope["client"], scope["lab.time"] = (tap.client.address, tap.client.port), tap.now
            await shops[scope["server"][1]](scope, receive, send)

        config = uvicorn.Config(
            app, lifespan="off", log_config=None, log_level="critical", access_log=False,
            server_header=False, date_header=False, timeout_keep_alive=_KEEP_ALIVE_S, proxy_headers=False, ws="none",
        )  # fmt: skip
        server = Quiet(config)
        task = asyncio.create_task(server.serve(sockets=sockets))
        try:
            while not server.started:
                if task.done():
                    raise LabError("the lab's web server did not start on loopback") from task.exception()
                await asyncio.sleep(0.005)
            yield
        finally:
            server.should_exit = server.force_exit = True
            await task
            for listener in sockets:
                listener.close()


class _Taps:
    """One visitor's connections, each with its tap, opened and closed as the visitor needs them."""

    def __init__(self, job: _Recording, site: Site, index: int, client: str, server: str, rng: Random):
        self.session = _Session()
        self._job = job
        self._site = site
        self._port = job._ports[index]
        self._client_address = client
        self._server = Endpoint(server, site.port)
        self._rng = Random(rng.getrandbits(64))
        self._next_port = self._rng.randint(20000, 60000)
        self._lanes: dict[int, _Tap] = {}

    async def play(self, script: Generator[LabRequest, LabReply, None], start_s: float) -> None:
        """Send what the script yields, and give it the replies."""
        now = start_s
        with closing(script):
            request = next(script, None)
            while request is not None:
                now += request.pause_s
                tap = await self._tap(request.lane, now)
                reply = await self._exchange(tap, request, now)
                now = max(now, tap.now)
                if request.last or reply.status == 0 or not tap.usable:
                    self._close(request.lane, by_client=request.last and tap.usable)
                try:
                    request = script.send(reply)
                except StopIteration:
                    request = None
        for lane in list(self._lanes):
            self._close(lane, by_client=True)
        self.session.frames.sort(key=lambda frame: frame[0])

    async def _exchange(self, tap: "_Tap", request: LabRequest, now: float) -> LabReply:
        sent_at = max(now, tap.now)
        self.session.labels.append(
            LabLabel(
                client=str(tap.client),
                index=tap.requests,
                digest=wire_digest(request.wire),
                label1=request.label,
                label2=request.attack_class,
                tags=request.tags,
                site=self._site.host,
                part=request.part,
                payload=request.payload,
                time=round(sent_at, 6),
            )
        )
        reply = await tap.exchange(request, sent_at)
        self.session.statuses.append(reply.status)
        return reply

    async def _tap(self, lane: int, now: float) -> "_Tap":
        tap = self._lanes.get(lane)
        if tap is not None and (now - tap.now > _IDLE_CLOSE_S or not tap.usable):
            self._close(lane, by_client=False, at=min(now, tap.now + _IDLE_CLOSE_S))
            tap = None
        if tap is None:
            self._next_port = self._next_port + 1 if self._next_port < 65000 else 20000
            client = Endpoint(self._client_address, self._next_port)
            tap = _Tap(self._job._taps, client, self._server, self._rng)
            await tap.connect(self._port, now)
            self._lanes[lane] = tap
            self.session.connections += 1
        return tap

    def _close(self, lane: int, *, by_client: bool, at: float | None = None) -> None:
        tap = self._lanes.pop(lane)
        tap.close(by_client=by_client, at=at)
        self.session.frames.extend(tap.wire.frames)

    def abort(self) -> None:
        """Drop connections that a failure left open."""
        for tap in self._lanes.values():
            tap.drop()


class _Tap(asyncio.Protocol):
    """A client connection that writes down what passes."""

    def __init__(self, registry: dict[int, "_Tap"], client: Endpoint, server: Endpoint, rng: Random):
        self.client = client
        self.wire = Connection(client, server, rng)
        self.now = 0.0
        self.requests = 0
        self.usable = True
        self._registry = registry
        self._real_port = 0
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._needed = 0
        self._has_body = True

    async def connect(self, port: int, now: float) -> None:
        """Connect to the shop, and record a handshake that ends at about `now`."""
        loop = asyncio.get_running_loop()
        plug = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        plug.setblocking(False)
        plug.bind(("127.0.0.1", 0))
        self._real_port = plug.getsockname()[1]
        self._registry[self._real_port] = self
        try:
            await loop.sock_connect(plug, ("127.0.0.1", port))
            await loop.create_connection(lambda: self, sock=plug)
        except BaseException:
            plug.close()
            raise
        self.now = self.wire.open(now - self.wire.round_trip_s)

    async def exchange(self, request: LabRequest, at: float) -> LabReply:
        """Send a request and wait for its reply; status 0 when the server closed without one."""
        assert self._transport is not None
        self.requests += 1
        self.now = self.wire.send(at, request.wire, from_client=True)
        self._has_body = request.has_body
        self._needed = 0
        self._waiter = asyncio.get_running_loop().create_future()
        if self._transport.is_closing():
            self._wake()
        self._transport.write(request.wire)
        if not request.complete:
            with suppress(OSError):  # the server may have left already
                self._transport.write_eof()
        try:
            await asyncio.wait_for(self._waiter, _REPLY_TIMEOUT_S)
        except TimeoutError:
            self.usable = False
        raw = bytes(self._buffer)
        self._buffer.clear()
        if raw:
            served = self.now + self.wire.round_trip_s + 0.002 + 0.2 * hash_share(request.wire) ** 3
            self.now = self.wire.send(served, raw, from_client=False)
        return _parse_reply(raw)

    def close(self, *, by_client: bool, at: float | None = None) -> None:
        """Close for real, and record the end at `at` (or soon after the last byte)."""
        self.drop()
        self.wire.close(self.now + 0.001 if at is None else at, by_client=by_client)

    def drop(self) -> None:
        """Close the real connection at once."""
        if self._transport is not None:
            self._transport.abort()
        if self._registry.get(self._real_port) is self:
            del self._registry[self._real_port]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._needed:
            self._needed = self._reply_size()
        if 0 < self._needed <= len(self._buffer) or len(self._buffer) > _MAX_REPLY_BYTES:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _reply_size(self) -> int:
        """How many bytes the reply has, once its head is here; 0 while unknown (then it ends with the connection)."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return 0
        head = bytes(self._buffer[:end]).lower()
        if b"\r\nconnection: close" in head:
            self.usable = False
        if not self._has_body or head[9:12] in (b"204", b"304"):
            return end + 4
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            return 0
        return end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])


def _listener() -> socket.socket:
    """A loopback socket that names its protocol: asyncio turns off Nagle's delay only on such."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    return listener


def _parse_reply(raw: bytes) -> LabReply:
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if len(lines[0]) < 12 or not lines[0][9:12].isdigit():
        return LabReply(0)
    pairs = (line.partition(":") for line in lines[1:])
    return LabReply(int(lines[0][9:12]), tuple((name.lower(), value.strip()) for name, _, value in pairs), body)


def _addresses(site: Site, rng: Random, number: int) -> tuple[str, str]:
    """A client address that no other session of the recording has, and the server's of the same family.

    Clients live in ranges set aside for shared address space and benchmarks (RFC 6598, RFC 2544) and for
    documentation (RFC 3849), servers in documentation ranges (RFC 5737, RFC 3849).
    """
    if rng.random() < _IPV6_SHARE:
        address = f"2001:db8:{0x1000 + number // 65536:x}:{number % 65536:x}::{rng.randint(1, 65535):x}"
        return str(ipaddress.ip_address(address)), site.address6
    scattered = number * 40503 % 131072 if number < 131072 else number
    if scattered < 131072 and rng.random() < 0.3:
        return f"198.{18 + scattered // 65536}.{scattered // 256 % 256}.{scattered % 256}", site.address4
    scattered = number * 2654435761 % 4194304
    return f"100.{64 + scattered // 65536}.{scattered // 256 % 256}.{scattered % 256}", site.address4
