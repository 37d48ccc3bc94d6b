"""A ClickHouse HTTP interface over chdb on the loopback, so that the server path can be tested without a server.

Run as a program: `python clickhouse_facade.py FOLDER`; prints its port and serves until its input closes. It checks
the password `CLICKHOUSE_PASSWORD` as a server would.
"""

import email
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb import session

_FORMAT = re.compile(r"\s*FORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    database: session.Session
    lock = threading.Lock()

    def do_GET(self):
        self._answer(b"")

    def do_POST(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            self._answer(self._chunks())
        else:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def log_message(self, *_):
        pass

    def _chunks(self):
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _answer(self, body):
        if not self._is_known():
            self._send(403, b"Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")
            return
        fields = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if self.headers.get_content_type() == "multipart/form-data":
            fields |= self._form(body)
            body = b""
        query = fields.get("query", "")
        if not query:
            head, _, data = body.partition(b"\n") if body.lstrip()[:6].upper() == b"INSERT" else (body, b"", b"")
            query, body = (head.decode(), data) if _FORMAT.search(head.decode()) else (body.decode(), b"")
        params = {name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")}
        settings = {name: value for name, value in fields.items() if name.startswith("output_format_")}
        try:
            with self.lock:
                self._send(200, self._run(query, body, params, settings, fields.get("default_format", "TabSeparated")))
        except Exception as error:
            self._send(400, str(error).encode())

    def _is_known(self):
        import base64

        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        _, _, password = base64.b64decode(token).decode().partition(":")
        return kind == "Basic" and password == os.environ["CLICKHOUSE_PASSWORD"]

    def _form(self, body):
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + body)
        return {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True).decode()
            for part in message.get_payload()
        }

    def _run(self, query, body, params, settings, default_format):
        named = _FORMAT.search(query)
        kind = named[1] if named else default_format
        sql = query[: named.start()] if named else query
        if sql.lstrip().upper().startswith("INSERT") and body:
            with self.database.send_insert(sql, kind) as target:
                target.append(body)
                target.finish()
            return b""
        for name, value in settings.items():
            self.database.query(f"SET {name} = {int(value)}")
        return self.database.query(sql, kind, params=params).bytes() or b""

    def _send(self, status, data):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    Handler.database = session.Session(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()
    Handler.database.close()
