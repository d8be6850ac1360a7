"""Sends a report to a mail server that others wrote, and reads the mail with another program's parser.

usage: mail.py CXQL

The server is aiosmtpd: it takes a mail only after STARTTLS and a login, and addresses of any letters (SMTPUTF8). Python's
`email` reads what it took.
"""

import email
import email.policy
import io
import pathlib
import ssl
import subprocess
import sys
import tempfile

import openpyxl
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from checks import Checks, same

REPORT = """-- title: 各主题的联系量
-- description: 每个主题有多少次联系。
-- chart: bar x=topic y=n
select topic, n from contacts order by topic
"""
CONTACTS = "topic,n\n退款,5\n物流,7\n"
CONFIG = """
[tables.contacts]
path = "contacts.csv"
[mail]
from = "报表 <reports@example.com>"
host = "localhost"
port = {port}
encryption = "starttls"
ca = "ca.pem"
user = "reports"
password = {{ env = "MAIL_PASSWORD" }}
[[job]]
name = "topics"
report = "topics"
recipients = ["张三 <zhang@example.com>", "客服@例子.公司"]
attach = ["xlsx", "csv"]
subject = "{{title}} {{date}}"
retries = 0
"""


class Server(Controller):
    """A server on a port that the system picks, known once it listens."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Keep:
    """Keeps what is sent."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((session, envelope))
        return "250 taken"


def login(server, session, envelope, mechanism, data):
    is_known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"reports", b"hush")
    # not handled: the server itself says no
    return AuthResult(success=is_known, handled=False)


def main():
    cxql = str(pathlib.Path(sys.argv[1]).resolve())
    check = Checks()
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    keep = Keep()
    server = Server(
        keep, hostname="127.0.0.1", port=0, ready_timeout=20, tls_context=context, require_starttls=True,
        authenticator=login, auth_required=True, enable_SMTPUTF8=True,
    )
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "sql").mkdir()
        (folder / "data").mkdir()
        (folder / "sql/topics.sql").write_text(REPORT)
        (folder / "data/contacts.csv").write_text(CONTACTS)
        (folder / "cxql.toml").write_text(CONFIG.format(port=server.port))
        authority.cert_pem.write_to_path(folder / "ca.pem")

        def run(password):
            command = [cxql, "--project", str(folder), "job", "run", "topics", "--at", "2025-03-03"]
            return subprocess.run(command, capture_output=True, text=True, env={"MAIL_PASSWORD": password})

        @check("a wrong password is told, and not shown")
        def _():
            done = run("wrong-word")
            same((done.returncode, len(keep.mails)), (1, 0))
            assert "535" in done.stderr and "wrong-word" not in done.stdout + done.stderr, done.stderr

        for name in (folder / ".cxql").iterdir():
            if name.is_file():
                name.unlink()
        done = run("hush")

        @check("the mail is taken after STARTTLS and login")
        def _():
            same((done.returncode, len(keep.mails)), (0, 1))
            session, envelope = keep.mails[0]
            assert session.ssl is not None and session.authenticated
            same(envelope.rcpt_tos, ["zhang@example.com", "客服@例子.公司"])
            same(envelope.smtp_utf8, True)

    server.stop()
    if not keep.mails:
        check.failures += 1
        print(done.stdout, done.stderr)
        check.end()
    message = email.message_from_string(keep.mails[0][1].content.decode(), policy=email.policy.SMTPUTF8)

    @check("headers")
    def _():
        same(message["subject"], "各主题的联系量 2025-03-03")
        same([(one.display_name, one.addr_spec) for one in message["from"].addresses], [("报表", "reports@example.com")])
        to = [(one.display_name, f"{one.username}@{one.domain}") for one in message["to"].addresses]
        same(to, [("张三", "zhang@example.com"), ("", "客服@例子.公司")])
        same(message["auto-submitted"], "auto-generated")
        same(message["message-id"], "<topics-20250303T000000Z.r@example.com>")
        same(message.defects, [])

    parts = {}
    for part in message.walk():
        parts.setdefault(part.get_content_type(), []).append(part)

    @check("text and page say the same")
    def _():
        for kind in ("text/plain", "text/html"):
            text = parts[kind][0].get_content()
            for word in ("各主题的联系量", "每个主题有多少次联系。", "退款", "物流", "7"):
                assert word in text, (kind, word, text)

    @check("each picture of the page is in the mail")
    def _():
        page = parts["text/html"][0].get_content()
        pictures = parts["image/png"]
        same(len(pictures), page.count("cid:"))
        for picture in pictures:
            assert f"cid:{picture['content-id'][1:-1]}" in page
            assert picture.get_content().startswith(b"\x89PNG\r\n\x1a\n")

    @check("attachments")
    def _():
        files = {part.get_filename(): part.get_content() for part in message.iter_attachments()}
        same(sorted(files), ["topics-2025-03-03.csv", "topics-2025-03-03.xlsx"])
        table = files["topics-2025-03-03.csv"]
        text = table if isinstance(table, str) else table.decode()
        same(text.replace("\r", ""), "topic,n\n物流,7\n退款,5\n")
        book = openpyxl.load_workbook(io.BytesIO(files["topics-2025-03-03.xlsx"]))
        values = [row for row in book.worksheets[0].iter_rows(values_only=True)]
        assert ("退款", 5) in [row[:2] for row in values], values

    check.end()


if __name__ == "__main__":
    main()
