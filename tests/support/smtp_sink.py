#!/usr/bin/python3
"""A real SMTP server that keeps every mail in a directory, for tests. Needs Debian's python3-aiosmtpd.

Listens on 127.0.0.1, prints the port as the first line of stdout, and ends when its stdin is closed, so that it
cannot outlive the test that started it. Mail number N becomes DIR/N.json, renamed into place when it is whole:
    {"from": "a@example.org", "to": ["b@example.org"], "helo": "name", "tls": false, "user": null, "mail": "From: ..."}
`mail` is the mail as it came, CR LF and all; bytes that are not UTF-8 are replaced.
"""

import argparse
import asyncio
import itertools
import json
import logging
import os
import ssl
import sys
import threading
import warnings

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Keeper:
    """Writes each accepted mail into the directory."""

    def __init__(self, directory):
        self.directory = directory
        self.numbers = itertools.count(1)

    async def handle_DATA(self, server, session, envelope):
        number = next(self.numbers)
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "helo": session.host_name,
            "tls": server.transport.get_extra_info("sslcontext") is not None,
            "user": session.auth_data,
            "mail": envelope.content.decode("utf-8", "replace"),
        }
        temporary = os.path.join(self.directory, f".{number}.tmp")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(mail, file)
        os.rename(temporary, os.path.join(self.directory, f"{number}.json"))
        return f"250 2.0.0 kept as {number}"


def authenticator(user, password):
    """Accepts exactly one user; the name becomes the session's `auth_data`."""

    def check(server, session, envelope, mechanism, data):
        if isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode()):
            return AuthResult(success=True, auth_data=user)
        return AuthResult(success=False, handled=False)

    return check


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--tls", choices=["none", "starttls", "implicit"], default="none")
    parser.add_argument("--cert", help="PEM certificate chain, for --tls")
    parser.add_argument("--key", help="PEM private key, for --tls")
    parser.add_argument(
        "--auth", action="store_true", help="demand a login as $SMTP_SINK_USER with $SMTP_SINK_PASSWORD"
    )
    options = parser.parse_args()

    # Tests provoke failed handshakes and allow logins in clear; aiosmtpd's complaints about that would hide real ones.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")

    context = None
    if options.tls != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
    settings = {"hostname": "sink.example.org", "enable_SMTPUTF8": True, "auth_require_tls": False}
    if options.tls == "starttls":
        settings.update(tls_context=context, require_starttls=True)
    if options.auth:
        check = authenticator(os.environ["SMTP_SINK_USER"], os.environ["SMTP_SINK_PASSWORD"])
        settings.update(authenticator=check, auth_required=True)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    keeper = Keeper(options.directory)
    server = loop.run_until_complete(
        loop.create_server(
            lambda: SMTP(keeper, loop=loop, **settings),
            host="127.0.0.1",
            port=options.port,
            ssl=context if options.tls == "implicit" else None,
        )
    )
    print(server.sockets[0].getsockname()[1], flush=True)

    def wait_for_end():
        while sys.stdin.buffer.read(4096):
            pass
        loop.call_soon_threadsafe(loop.stop)

    threading.Thread(target=wait_for_end, daemon=True).start()
    loop.run_forever()


if __name__ == "__main__":
    main()
