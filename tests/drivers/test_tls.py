"""`tls:` in the configuration: what is wrong with it is told when it is read."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.mqtt import BrokerConfig
from drivers.tls import Tls
from tests.support.certificates import Authority, Pair


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def agent(ca: Authority) -> Pair:
    return ca.issue("agent")


def wrong(**given: Any) -> str:
    with pytest.raises(ValidationError) as error:
        Tls.model_validate(given)
    return "; ".join(detail["msg"] for detail in error.value.errors())


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for key in ("ca", "cert"):
        assert f"{tmp_path}/none.pem: No such file or directory" in wrong(**{key: f"{tmp_path}/none.pem"})


def test_a_key_that_is_not_there_is_told(tmp_path: Path, agent: Pair) -> None:
    assert f"{tmp_path}/none.key: No such file" in wrong(cert=agent.cert, key=tmp_path / "none.key")


def test_a_path_has_to_be_whole() -> None:
    assert "has to be the whole path of a file" in wrong(ca="ca.pem")


def test_what_is_no_certificate_is_told(tmp_path: Path, agent: Pair) -> None:
    (tmp_path / "ca.pem").write_bytes(b"\x30\x82")
    assert "ca.pem is no PEM file" in wrong(ca=tmp_path / "ca.pem")
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "ca.pem holds no certificate that can be used" in wrong(ca=tmp_path / "ca.pem")
    assert "holds no certificate that can be used" in wrong(ca=agent.key)


def test_a_key_and_a_certificate_belong_together(ca: Authority, agent: Pair) -> None:
    assert "`key` without `cert`" in wrong(key=agent.key)
    assert "do not belong together" in wrong(cert=agent.cert, key=ca.own.key)
    assert "cannot be used" in wrong(cert=agent.cert)


def test_a_key_may_stand_with_its_certificate_in_one_file(tmp_path: Path, agent: Pair) -> None:
    (tmp_path / "both.pem").write_bytes(agent.cert.read_bytes() + agent.key.read_bytes())
    Tls(cert=tmp_path / "both.pem")


def test_nobody_is_asked_for_the_password_of_a_key(tmp_path: Path, agent: Pair) -> None:
    locked = tmp_path / "locked.key"
    make = ("openssl", "ec", "-in", agent.key, "-aes256", "-passout", "pass:secret", "-out", locked)
    subprocess.run(make, check=True, capture_output=True)
    assert "cannot be used" in wrong(cert=agent.cert, key=locked)


@pytest.mark.parametrize("version", [1.3, "1.3"])
def test_a_version_may_be_written_without_quotes(version: object) -> None:
    assert Tls.model_validate({"min_version": version}).min_version == "1.3"
    assert "1.2" in wrong(min_version="1.1")


def test_tls_is_for_brokers_that_use_it() -> None:
    BrokerConfig(url="mqtts://broker", tls=Tls())
    for url in ("mqtt://broker", "unix:///run/broker.sock"):
        with pytest.raises(ValidationError, match="`tls` is for mqtts:// alone"):
            BrokerConfig(url=url, tls=Tls())
