"""A receiver that verifies signatures by the function of the README.

    receiver.py VERIFY.py SECRET [CERTIFICATE.pem KEY.pem]

Prints its port, serves until its standard input ends, and answers 401 to what is not signed.
"""

import http.server
import importlib.util
import json
import ssl
import sys
import threading

module, secret, *tls = sys.argv[1:]
spec = importlib.util.spec_from_file_location("verify", module)
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signature = self.headers.get("X-Signature", "")
        verified = verify.asynccall_verify(secret.encode(), signature, body)
        answer = json.dumps({"job": json.loads(body), "tube": self.headers["X-Job-Tube"]}).encode()
        self.send_response(200 if verified else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
server.daemon_threads = True
if tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
