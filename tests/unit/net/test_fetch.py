"""Guarded downloads, against a real server on the loopback that the policy lets in."""

import asyncio
import gzip
import shutil
import ssl
import subprocess
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import pytest

from retouch.domain.errors import BadInput
from retouch.net import FetchPolicy, GuardedCourier, GuardedFetcher
from retouch.ports import Undelivered

LOOPBACK = (ip_network("127.0.0.0/8"),)
NOT_PUBLIC = (
    "The image URL's host is not reachable from here: it resolves to an address that is not public."
)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]] | bytes


def response(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    headers = {"content_length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


@dataclass
class Site:
    """A server that answers each path with fixed bytes, and remembers what it was asked."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(request)
            answer = self.answers[request.split()[1].partition("?")[0]]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            writer.close()


@asynccontextmanager
async def running(context: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=context)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with running() as site:
        yield site


@dataclass
class Names:
    """A resolver that knows these names; each answer is used up but the last."""

    known: dict[str, list[Sequence[str]]]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.known.get(host)
        if not answers:
            raise OSError("Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def names(**known: Sequence[str]) -> Names:
    return Names({name.replace("_", "."): [addresses] for name, addresses in known.items()})


def fetcher(resolve: Names | None = None, **policy: object) -> GuardedFetcher:
    return GuardedFetcher(FetchPolicy(**{"allow": LOOPBACK, **policy}), resolve=resolve)


async def refusal(url: str, fetch: GuardedFetcher) -> str:
    with pytest.raises(BadInput) as caught:
        await fetch.fetch(url)
    return str(caught.value)


async def test_the_body_comes_back(site: Site) -> None:
    site.answers["/a.png"] = response(b"bytes")

    assert await fetcher().fetch(site.url("/a.png?size=1#part")) == b"bytes"
    assert site.requests[0].startswith("GET /a.png?size=1 HTTP/1.1\r\n")


async def test_the_request_names_the_host_and_carries_nothing_of_ours(site: Site) -> None:
    site.answers["/a"] = response(b"x", set_cookie="a=b")
    fetch = fetcher(names(pictures_example=["127.0.0.1"]))

    await fetch.fetch(site.url("/a", "Pictures.Example."))
    await fetch.fetch(site.url("/a", "pictures.example"))

    first, second = (request.lower() for request in site.requests)
    assert f"\r\nhost: pictures.example:{site.port}\r\n" in second
    assert "\r\naccept-encoding: identity\r\n" in first
    assert "cookie" not in second
    assert "authorization" not in second


async def test_the_environments_proxies_are_ignored(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.answers["/a"] = response(b"x")

    assert await fetcher().fetch(site.url("/a")) == b"x"


BLOCKED = """
http://127.0.0.1/ http://127.0.0.1:22/ http://127.1.2.3/ http://0.0.0.0/ http://10.0.0.1/
http://172.16.0.1/ http://192.168.0.1/ http://169.254.169.254/latest/meta-data/ http://100.64.0.1/
http://198.18.0.1/ http://192.0.2.1/ http://224.0.0.1/ http://255.255.255.255/ http://240.0.0.1/
http://[::1]/ http://[::]/ http://[::127.0.0.1]/ http://[::ffff:127.0.0.1]/ http://[::ffff:7f00:1]/
http://[::ffff:0:127.0.0.1]/ http://[64:ff9b::127.0.0.1]/ http://[64:ff9b::a9fe:a9fe]/
http://[64:ff9b:1::a00:1]/ http://[2002:7f00:1::]/ http://[2002:a9fe:a9fe::1]/ http://[fe80::1]/
http://[fec0::1]/ http://[fc00::1]/ http://[fd00:ec2::254]/ http://[ff02::1]/
http://100.100.100.200/ http://169.254.170.2/ http://192.0.0.192/ http://168.63.129.16/
http://[fd20:ce::254]/ http://[2002:a00:1::1]/ http://[ff0e::1]/ http://[2001:db8::1]/
http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/ http://[2606:4700::5efe:10.0.0.1]/ http://[100::1]/
http://127.0.0.1./ https://127.0.0.1/ HTTP://127.0.0.1/
http://localhost/ http://LOCALHOST./ http://a.localhost/ http://redis:6379/ http://nas.local/
http://metadata.google.internal/ http://router.home.arpa/ http://intranet.corp/
""".split()  # noqa: SIM905  a table reads better


@pytest.mark.parametrize("url", BLOCKED)
async def test_what_is_not_public_is_refused_in_one_sentence(url: str) -> None:
    fetch = GuardedFetcher(resolve=names(localhost=["127.0.0.1", "::1"], nas_local=["10.0.0.7"]))

    assert await refusal(url, fetch) == NOT_PUBLIC


@pytest.mark.parametrize("url", BLOCKED)
async def test_no_webhook_goes_there_either(url: str) -> None:
    post = GuardedCourier(resolve=names(localhost=["127.0.0.1"], nas_local=["10.0.0.7"])).post

    with pytest.raises(Undelivered, match="allow_webhook"):
        await post(url, b"{}", {})


def test_the_tables_are_long() -> None:
    assert len(BLOCKED) >= 50
    assert len(ODD) >= 60


ODD = """
http://2130706433/ http://0x7f000001/ http://0x7f.0.0.1/ http://0177.0.0.1/ http://017700000001/
http://127.1/ http://127.0.1/ http://0/ http://127.0.0.1.1/ http://127.0.0.0x1/ http://256.1.1.1/
http://\uff11\uff12\uff17.0.0.1/ http://127\u30020\u30020\u30021/ http://%31%32%37.0.0.1/
http://user@example.com/ http://user:hunter2@example.com/ http://127.0.0.1@example.com/
http://example.com@127.0.0.1/ http://a%40b@127.0.0.1/ http://:hunter2@example.com/
file:///etc/passwd ftp://example.com/ gopher://example.com:70/ dict://example.com/ data:,x
javascript:alert(1) unix:///var/run/docker.sock ldap://example.com/ jar:http://example.com!/ //a/b
/etc/passwd example.com/a.png http:// http:///path https:example.com http://[::1 http://[nonsense]/
http://exa%00mple.com/ http://example.com:0/ http://example.com:65536/ http://example.com:x/
http://example.com:-1/ http://..../ http://a..b/ http://-%2f/ http://example.com\\@127.0.0.1/
http://127.0.0.1\\.example.com/ http://\ud800/ http://[::1%25lo]:x/ http://[v1.x]/
http://[fe80::1%25eth0]/ http://[2606:4700::1111%25lo]/ http://[::1%251]/ http://[::ffff:8.8.8.8%25]/
http://127.0.0.1%0d%0aHost:x/ http://example.com%0d%0a/ http://\u2460\u2461\u2466.0.0.1/
http://\U0001d7cf\U0001d7d0\U0001d7d5.0.0.1/ http://[0:0:0:0:0:ffff:127.1]/ http://0b1111111.0.0.1/
http://0x7f000001./ http://00000177.1/ http://4294967296/ http://1.2.3.4.5/ ws://example.com/
""".split()  # noqa: SIM905  a table reads better


@pytest.mark.parametrize("url", ["", " ", "http://exa mple.com/", "http://a\r\nb/", *ODD])
async def test_odd_urls_are_refused_before_anything_is_resolved(url: str) -> None:
    resolve = names(example_com=["127.0.0.1"])

    message = await refusal(url, fetcher(resolve))

    assert message.startswith("The image URL")
    assert resolve.asked == []
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:10.0.0.1"], ["nonsense"]]
)
async def test_every_address_of_a_name_is_judged(addresses: list[str]) -> None:
    fetch = GuardedFetcher(resolve=names(example_com=addresses))

    assert await refusal("http://example.com/", fetch) == NOT_PUBLIC


async def test_a_private_host_tells_nothing_of_its_ports_or_names(site: Site) -> None:
    fetch = GuardedFetcher(resolve=names(db_internal=["127.0.0.1"]))

    answers = {
        await refusal(url, fetch)
        for url in (
            site.url("/"),
            "http://127.0.0.1:9/",
            site.url("/", "db.internal"),
            "http://nothing.internal/",
        )
    }

    assert answers == {NOT_PUBLIC}
    assert site.requests == []


async def test_a_name_is_resolved_once_and_the_judged_address_is_the_one_connected_to(
    site: Site,
) -> None:
    site.answers["/a"] = response(b"x")
    resolve = Names({"example.com": [["127.0.0.1"], ["10.0.0.1"]]})

    body = await fetcher(resolve).fetch(site.url("/a", "example.com"))

    assert body == b"x"
    assert resolve.asked == ["example.com"]


async def test_a_name_that_turns_private_is_refused(site: Site) -> None:
    site.answers["/a"] = response(status="302 Found", location="/b")
    resolve = Names({"example.com": [["127.0.0.1"], ["10.0.0.1"]]})

    assert await refusal(site.url("/a", "example.com"), fetcher(resolve)) == NOT_PUBLIC
    assert len(site.requests) == 1


async def test_the_next_address_is_tried_when_one_does_not_answer(site: Site) -> None:
    site.answers["/a"] = response(b"x")
    resolve = names(example_com=["127.0.0.2", "127.0.0.1"])

    assert await fetcher(resolve).fetch(site.url("/a", "example.com")) == b"x"


async def test_an_unknown_public_name_says_so() -> None:
    assert await refusal("http://example.com/a.png?token=1", fetcher(names())) == (
        "The image URL http://example.com/a.png could not be fetched: its host's name is not known."
    )


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 T", "308 P"])
async def test_redirects_are_followed(site: Site, status: str) -> None:
    site.answers["/a"] = response(b"ignored", status=status, location="sub/b?c=d")
    site.answers["/sub/b"] = response(b"x")

    assert await fetcher().fetch(site.url("/a")) == b"x"


async def test_three_redirects_are_followed_and_a_fourth_is_not(site: Site) -> None:
    for n in range(4):
        site.answers[f"/{n}"] = response(status="302 Found", location=f"/{n + 1}")
    site.answers["/4"] = response(b"x")

    assert await fetcher().fetch(site.url("/1")) == b"x"
    assert "it redirects more than 3 times" in await refusal(site.url("/0"), fetcher())


async def test_a_redirect_to_itself_ends(site: Site) -> None:
    site.answers["/a"] = response(status="302 Found", location="/a")

    assert "it redirects more than 3 times" in await refusal(site.url("/a"), fetcher())
    assert len(site.requests) == 4


@pytest.mark.parametrize(
    "location", ["http://10.0.0.1/", "//169.254.169.254/", "http://[::ffff:10.0.0.1]/"]
)
async def test_a_redirect_to_a_private_address_is_refused(site: Site, location: str) -> None:
    site.answers["/a"] = response(status="302 Found", location=location)

    assert await refusal(site.url("/a"), fetcher()) == NOT_PUBLIC


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/", "data:,x", "http://u:p@127.0.0.1/", "http://[x/"],
)
async def test_a_redirect_to_an_odd_url_is_refused(site: Site, location: str) -> None:
    site.answers["/a"] = response(status="302 Found", location=location)

    assert "could not be fetched" in await refusal(site.url("/a"), fetcher())
    assert len(site.requests) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "403 Forbidden", "304 Same"])
async def test_an_error_says_its_number_and_nothing_of_its_page(site: Site, status: str) -> None:
    site.answers["/a"] = response(b"a secret page", status=status)

    assert await refusal(site.url("/a?key=secret#secret"), fetcher()) == (
        f"The image URL {site.url('/a')} could not be fetched: the server answered {status[:3]}."
    )


async def test_a_body_declared_too_large_is_not_read(site: Site) -> None:
    site.answers["/a"] = response(content_length="2000001")

    message = await refusal(site.url("/a"), fetcher(max_bytes=2_000_000))

    assert message.endswith("could not be fetched: it is larger than 2 MB.")


async def test_a_body_that_turns_out_too_large_is_cut_off(site: Site) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(response(content_length=""))
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    site.answers["/a"] = endless

    message = await refusal(site.url("/a"), fetcher(max_bytes=1_000_000))

    assert message.endswith("could not be fetched: it is larger than 1 MB.")


async def test_a_body_of_just_the_limit_is_fine(site: Site) -> None:
    site.answers["/a"] = response(bytes(1000))

    assert len(await fetcher(max_bytes=1000).fetch(site.url("/a"))) == 1000
    assert "larger" in await refusal(site.url("/a"), fetcher(max_bytes=999))


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
async def test_a_compressed_body_is_unpacked(
    site: Site, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    site.answers["/a"] = response(pack(b"x" * 5000), content_encoding=encoding)

    assert await fetcher(max_bytes=5000).fetch(site.url("/a")) == b"x" * 5000
    assert "larger" in await refusal(site.url("/a"), fetcher(max_bytes=4999))


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
async def test_other_encodings_are_refused(site: Site, encoding: str) -> None:
    site.answers["/a"] = response(b"x", content_encoding=encoding)

    assert "not asked for" in await refusal(site.url("/a"), fetcher())


@pytest.mark.parametrize("body", [b"nonsense", gzip.compress(b"x" * 999, mtime=0)[:-9], b""])
async def test_a_damaged_compressed_body_is_refused(site: Site, body: bytes) -> None:
    site.answers["/a"] = response(body, content_encoding="gzip")

    assert "compressed and" in await refusal(site.url("/a"), fetcher())


async def test_a_body_without_a_length_ends_with_the_connection(site: Site) -> None:
    site.answers["/a"] = response(b"bytes", content_length="")

    assert await fetcher().fetch(site.url("/a")) == b"bytes"


async def test_a_chunked_body_is_counted_as_it_comes(site: Site) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(response(content_length="", transfer_encoding="chunked"))
        while True:
            writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            await writer.drain()

    site.answers["/a"] = endless

    message = await refusal(site.url("/a"), fetcher(max_bytes=1_000_000))

    assert message.endswith("it is larger than 1 MB.")


async def test_a_gzip_bomb_is_unpacked_up_to_the_limit_only(site: Site) -> None:
    bomb = gzip.compress(bytes(200_000_000), 1, mtime=0)
    site.answers["/a"] = response(bomb, content_encoding="gzip")

    tracemalloc.start()
    message = await refusal(site.url("/a"), fetcher(max_bytes=5_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert message.endswith("it is larger than 5 MB.")
    assert peak < 25_000_000


@pytest.mark.parametrize("line", [b"x: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"x" * 99])
async def test_a_head_without_end_is_given_up(site: Site, line: bytes) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        if not line.startswith(b"HTTP"):
            writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(line * 100)
            await writer.drain()

    site.answers["/a"] = endless

    message = await refusal(site.url("/a"), fetcher(timeout_s=0.5))

    assert "broke off or did not speak HTTP" in message or "longer than 0.5 s" in message


async def test_a_silent_server_times_out(site: Site) -> None:
    async def silence(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    site.answers["/a"] = silence

    message = await refusal(site.url("/a"), fetcher(timeout_s=0.05))

    assert message.endswith("could not be fetched: it took longer than 0.05 s.")


async def test_a_dripping_server_times_out(site: Site) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(response(content_length=""))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)

    site.answers["/a"] = drip

    assert "it took longer than 0.1 s" in await refusal(site.url("/a"), fetcher(timeout_s=0.1))


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", response(content_length="9")])
async def test_a_server_that_breaks_off_is_refused(site: Site, answer: bytes) -> None:
    site.answers["/a"] = answer

    assert "broke off or did not speak HTTP" in await refusal(site.url("/a"), fetcher())


async def test_no_connection_is_one_sentence(site: Site) -> None:
    message = await refusal(site.url("/", "127.0.0.2"), fetcher())

    assert message.endswith("could not be fetched: no connection to its server could be made.")


async def test_a_long_url_is_cut(site: Site) -> None:
    site.answers["/" + "a" * 500] = response(status="404 Not Found")

    message = await refusal(site.url("/" + "a" * 500), fetcher())

    assert "a… could not be fetched" in message
    assert len(message) < 250


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a self-signed certificate for pictures.example, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    file = tmp_path_factory.mktemp("tls") / "pair.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
    subprocess.run(  # noqa: S603  fixed arguments
        [openssl, *options.split(), "-addext", "subjectAltName=DNS:pictures.example",
         "-keyout", file, "-out", f"{file}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


async def test_tls_is_checked_against_the_name_not_the_address(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    shaken: list[str | None] = []
    context.sni_callback = lambda socket, name, _: shaken.append(name)
    resolve = names(pictures_example=["127.0.0.1"], other_example=["127.0.0.1"])
    trusting = GuardedFetcher(
        FetchPolicy(allow=LOOPBACK),
        resolve=resolve,
        ssl_context=ssl.create_default_context(cafile=certificate),
    )

    async with running(context) as site:
        site.answers["/a"] = response(b"x")
        body = await trusting.fetch(f"https://pictures.example:{site.port}/a")
        wrong_name = await refusal(f"https://other.example:{site.port}/a", trusting)
        unknown_root = await refusal(f"https://pictures.example:{site.port}/a", fetcher(resolve))

    assert body == b"x"
    assert shaken[0] == "pictures.example"
    assert wrong_name.endswith("its server's certificate is not trusted.")
    assert unknown_root.endswith("its server's certificate is not trusted.")
