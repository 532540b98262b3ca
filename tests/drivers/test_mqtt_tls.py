"""TLS and unix sockets to a real mosquitto."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.base import FeedState
from drivers.mqtt import BrokerConfig
from drivers.tls import Tls
from tests.drivers.conftest import Make, on
from tests.support.agent import free_port, wait_for_port
from tests.support.certificates import Authority, Pair
from tests.support.mosquitto import Mosquitto, Said
from tests.support.rawbroker import RawBroker, publish
from tests.support.waiting import until


class Issued:
    """A CA, a stranger, and what they issued."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.stranger = Authority(folder / "ca"), Authority(folder / "stranger")
        self.server = self.ca.issue("server")
        self.expired = self.ca.issue("expired", until=2021)
        self.elsewhere = self.ca.issue("elsewhere", "DNS:elsewhere.lan,IP:10.0.0.1")
        self.agent = self.ca.issue("agent")
        self.late_agent = self.ca.issue("late_agent", until=2021)
        self.strange_agent = self.stranger.issue("agent")


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return Issued(tmp_path_factory.mktemp("issued"))


@contextmanager
def guarded(folder: Path, server: Pair, *more: str) -> Iterator[tuple[Mosquitto, str]]:
    """A broker with a TLS listener beside its plain one, and its URL."""
    port = free_port()
    listener = (f"listener {port} 127.0.0.1", f"certfile {server.cert}", f"keyfile {server.key}", *more)
    with Mosquitto(folder, "max_inflight_messages 0", "max_queued_messages 0", *listener) as broker:
        yield broker, f"mqtts://localhost:{port}"


async def test_over_tls_all_comes_in_order(make: Make, tmp_path: Path, issued: Issued) -> None:
    with guarded(tmp_path, issued.server) as (broker, url):
        reader = make(url, {"a": on("a")}, tls=Tls(ca=issued.ca.own.cert))
        await reader.open()
        await broker.publish(*(Said("a", str(n)) for n in range(1000)))
        await reader.come(1000)
        assert [value for _, value in reader.values] == list(range(1000))


async def test_packets_that_come_in_one_record_of_tls_are_all_read(make: Make, issued: Issued) -> None:
    """mosquitto sends each in a record of its own."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*issued.server)
    async with RawBroker(context) as raw:
        reader = make(raw.url, {"a": on("a")}, tls=Tls(ca=issued.ca.own.cert))
        await reader.open()
        pong = b"\xd0\x00"
        raw.say(pong + b"".join(publish(n + 1, b"a", str(n).encode()) for n in range(500)))
        await reader.come(500)
        assert [value for _, value in reader.values] == list(range(500))
        await reader.close()


async def test_over_tls_a_full_intake_goes_on_when_there_is_room(make: Make, tmp_path: Path, issued: Issued) -> None:
    with guarded(tmp_path, issued.server) as (broker, url):
        reader = make(url, {"a": on("a")}, tls=Tls(ca=issued.ca.own.cert))
        await reader.open()
        reader.may_go_on.clear()
        await broker.publish(*(Said("a", str(n).encode() + b" " * 250_000) for n in range(60)))
        await until(lambda: reader.states == {"a": FeedState.PAUSED})
        reader.may_go_on.set()
        await reader.come(60)
        assert [value for _, value in reader.values] == list(range(60))


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("expired", "its certificate has expired"),
        ("elsewhere", "its certificate is for another host (certificate is not valid for 'localhost')"),
        ("strange_agent", "its certificate is of a CA that is not known here: name that as `tls.ca`"),
    ],
)
async def test_a_broker_that_is_not_the_right_one_is_refused_and_told(
    make: Make, tmp_path: Path, issued: Issued, server: str, told: str
) -> None:
    with guarded(tmp_path, getattr(issued, server)) as (_, url):
        reader = make(url, {"a": on("a")}, tls=Tls(ca=issued.ca.own.cert))
        reader.start()
        assert await reader.lost() == f"{url}: {told}"


async def test_without_a_ca_of_its_own_the_ones_of_the_system_count(make: Make, tmp_path: Path, issued: Issued) -> None:
    with guarded(tmp_path, issued.server) as (_, url):
        reader = make(url, {"a": on("a")})
        reader.start()
        assert "its certificate is of a CA that is not known here" in await reader.lost()


async def test_an_address_is_verified_as_a_name_is(make: Make, tmp_path: Path, issued: Issued) -> None:
    tls = Tls(ca=issued.ca.own.cert)
    with guarded(tmp_path, issued.server) as (_, url):
        await make(url.replace("localhost", "127.0.0.1"), {"a": on("a")}, tls=tls).open()
    with guarded(tmp_path, issued.elsewhere) as (_, url):
        reader = make(url.replace("localhost", "127.0.0.1"), {"a": on("a")}, tls=tls)
        reader.start()
        assert "its certificate is for another host (certificate is not valid for '127.0.0.1')" in await reader.lost()


async def test_tls_where_there_is_none_and_none_where_there_is_are_told(
    make: Make, tmp_path: Path, issued: Issued
) -> None:
    with guarded(tmp_path, issued.server) as (broker, url):
        reader = make(f"mqtts://localhost:{broker.port}", {"a": on("a")})
        reader.start()
        assert "localhost" in await reader.lost()
        reader = make(url.replace("mqtts", "mqtt"), {"a": on("a")})
        reader.start()
        assert (await reader.lost()).endswith("before it answered: does it speak TLS there (mqtts://)?")


@pytest.mark.parametrize(
    ("client", "told"),
    [
        (None, ("it asks for a client certificate: `tls.cert` and `tls.key`", "client certificate (`tls.cert`)?")),
        ("strange_agent", ("it does not know the CA of the client certificate", "refuse the client certificate?")),
        ("late_agent", ("the client certificate has expired", "refuse the client certificate?")),
    ],
)
async def test_a_client_certificate_that_is_asked_for_and_is_not_right_is_told(
    make: Make, tmp_path: Path, issued: Issued, client: str | None, told: tuple[str, str]
) -> None:
    """What mosquitto says of it does not always arrive before it hangs up."""
    given = getattr(issued, client)._asdict() if client else {}
    with guarded(tmp_path, issued.server, f"cafile {issued.ca.own.cert}", "require_certificate true") as (_, url):
        reader = make(url, {"a": on("a")}, tls=Tls(ca=issued.ca.own.cert, **given))
        reader.start()
        assert (await reader.lost()).endswith(told)


@pytest.mark.parametrize("min_version", ["1.2", "1.3"])
async def test_with_the_right_client_certificate_it_is_let_in(
    make: Make, tmp_path: Path, issued: Issued, min_version: str
) -> None:
    tls = Tls.model_validate({"ca": issued.ca.own.cert, "min_version": min_version, **issued.agent._asdict()})
    with guarded(tmp_path, issued.server, f"cafile {issued.ca.own.cert}", "require_certificate true") as (_, url):
        await make(url, {"a": on("a")}, tls=tls).open()


@contextmanager
def old_server(server: Pair) -> Iterator[str]:
    """What speaks TLS 1.2 alone, which this mosquitto cannot be told to; its URL."""
    port = free_port()
    given = ("-accept", f"127.0.0.1:{port}", "-cert", server.cert, "-key", server.key)
    with subprocess.Popen(("openssl", "s_server", "-quiet", "-tls1_2", *given)) as process:
        try:
            wait_for_port(port)
            yield f"mqtts://localhost:{port}"
        finally:
            process.kill()


async def test_a_broker_below_the_least_version_is_told(make: Make, issued: Issued) -> None:
    with old_server(issued.server) as url:
        reader = make(url, {"a": on("a")}, tls=Tls(ca=issued.ca.own.cert, min_version="1.3"))
        reader.start()
        assert await reader.lost() == f"{url}: it does not speak a version of TLS that `tls.min_version` allows"


async def test_a_certificate_that_vanishes_later_is_told_and_does_no_harm(
    make: Make, tmp_path: Path, issued: Issued
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(issued.ca.own.cert.read_bytes())
    with guarded(tmp_path, issued.server) as (_, url):
        reader = make(url, {"a": on("a")}, tls=Tls(ca=ca))
        ca.rename(tmp_path / "away")
        reader.start()
        assert await reader.lost() == f"{url}: {ca}: No such file or directory"
        (tmp_path / "away").rename(ca)
        await reader.open()


async def test_a_unix_socket_is_as_good(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "mosquitto.sock"
    with Mosquitto(tmp_path, f"listener 0 {path}") as broker:
        reader = make(f"unix://{path}", {"a": on("a")})
        await reader.open()
        await broker.publish(Said("a", "1"))
        await reader.come(1)
        broker.stop()
        assert await reader.lost()


async def test_a_unix_socket_that_is_not_there_is_told(make: Make, tmp_path: Path) -> None:
    reader = make(f"unix://{tmp_path}/none.sock", {"a": on("a")})
    reader.start()
    assert await reader.lost() == f"unix://{tmp_path}/none.sock: [Errno 2] No such file or directory"


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("mqtt://broker", "broker", 1883),
        ("mqtts://broker", "broker", 8883),
        ("mqtts://broker:1", "broker", 1),
        ("mqtt://[::1]:2", "::1", 2),
        ("unix:///run/a%20b.sock", "/run/a b.sock", 1883),
    ],
)
def test_the_url_says_where_the_broker_is(url: str, host: str, port: int) -> None:
    config = BrokerConfig(url=url)
    assert (config.host, config.port) == (host, port)
