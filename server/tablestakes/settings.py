"""The settings of a service: each an environment variable and a flag, documented here and nowhere else."""

import re
import textwrap
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

# A URL that a platform hands out names no driver; each database has one here.
DRIVERS = {
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}

# The options that may follow the ? of a URL. The driver's other options are settings here, or would be printed with
# it.
QUERIES = {
    "postgresql+asyncpg": {"host", "port", "ssl", "target_session_attrs"},
    "sqlite+aiosqlite": {"cache", "immutable", "mode", "uri"},
}

# Options that people know from other drivers, or that are settings here.
REFUSED = {
    *(
        "application_name",
        "channel_binding",
        "connect_timeout",
        "options",
        "passfile",
        "password",
        "sslcert",
        "sslkey",
    ),
    *("ssl", "sslrootcert", "statement_timeout", "timeout", "user"),
}

# Words that gRPC takes for a kind of address and not for a host.
SCHEMES = {"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"}
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%]+\]")
# A name that may be asked for, and all names below one.
_HOST_PATTERN = re.compile(r"\*|(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
# RFC 6750, section 2.1. A shorter one could be guessed.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")
PORTS = 1 << 16
LEVELS = ("debug", "info", "warning", "error")

# Characters of a key of page tokens.
LEAST_KEY = 16


class SettingsError(Exception):
    """A setting has a bad value; the message is one line that names it."""


def _database_url(given: SecretStr) -> SecretStr:
    try:
        url = make_url(given.get_secret_value())
    except (ArgumentError, ValueError):
        # make_url's own message quotes the part that it could not read, which may be a part of the password.
        raise ValueError("not a database URL, such as postgresql+asyncpg://user@host/database") from None
    if url.drivername not in DRIVERS:
        raise ValueError(f"{url.drivername} is not served: use postgresql+asyncpg or sqlite+aiosqlite")
    driver = DRIVERS[url.drivername]
    # libpq's name of what the driver calls ssl, with the same values.
    query = {("ssl" if name == "sslmode" else name): value for name, value in url.query.items()}
    if {"ssl", "sslmode"} <= url.query.keys():
        raise ValueError("ssl and sslmode are the same option: give one of them")
    if unknown := sorted(query.keys() - QUERIES[driver]):
        # Named only where it can be nothing else: what follows a ? may also be the rest of a password.
        name = unknown[0] if unknown[0] in REFUSED else "what follows the ?"
        known = ", ".join(sorted(QUERIES[driver]))
        raise ValueError(f"{name} is not an option of the URL; there are: {known}")
    if url.port is not None and not 0 < url.port < PORTS:
        raise ValueError("the port of the URL is none")
    return SecretStr(url.set(drivername=driver, query=query).render_as_string(hide_password=False))


def _address(given: str) -> str:
    host, colon, port = given.rpartition(":")
    named = _HOST.fullmatch(host) is not None and host not in SCHEMES
    if not (colon and named and port.isascii() and port.isdigit() and int(port) < PORTS):
        raise ValueError("not host:port, such as 127.0.0.1:50051 or [::1]:50051")
    return given


def _host_patterns(given: str) -> str:
    for pattern in given.split(","):
        if not _HOST_PATTERN.fullmatch(pattern.strip()):
            raise ValueError("not a list of host names without ports, such as metrics.example.com,*.example.net")
    return given


def _token(given: SecretStr) -> SecretStr:
    if given and not _TOKEN.fullmatch(given.get_secret_value()):
        raise ValueError("not a bearer token: at least 16 letters, digits, or any of -._~+/")
    return given


def _token_keys(given: SecretStr) -> SecretStr:
    keys = given.get_secret_value().split(",")
    if keys != [""] and any(len(key.strip()) < LEAST_KEY for key in keys):
        raise ValueError(f"each key must have at least {LEAST_KEY} characters")
    return given


def _key_set(given: str) -> str:
    if given.startswith("http://") and not given.startswith(
        ("http://127.0.0.1", "http://localhost", "http://[::1]")
    ):
        raise ValueError("keys that sign tokens are fetched by https, or by http from this host alone")
    return given


def _attributes(given: str) -> str:
    for each in filter(None, (part.strip() for part in given.split(","))):
        name, _, claim = (part.strip() for part in each.partition("="))
        if not name.isidentifier() or not claim or name == "subject":
            raise ValueError(f"{each!r} is not attribute=claim, such as user=marketplace_user")
    return given


Address = Annotated[str, AfterValidator(_address)]
TokenKeys = Annotated[SecretStr, AfterValidator(_token_keys)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The settings of a service; a flag wins over the environment, and both over the default.

    A service with fields of its own, or another prefix of its environment variables, makes a subclass.
    """

    model_config = SettingsConfigDict(
        env_prefix="TABLESTAKES_",
        # A compose file passes a variable that is not set on as an empty one.
        env_ignore_empty=True,
        # The environment has variables of other programs; the command line refuses a misspelt flag by itself.
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    database_url: DatabaseUrl = Field(
        SecretStr("sqlite+aiosqlite:///./tablestakes.db"),
        # Without the prefix: the name that platforms give it.
        validation_alias="DATABASE_URL",
        description="The database: postgresql+asyncpg://… or sqlite+aiosqlite:///path.",
    )
    database_ca: str = Field(
        "",
        description="The authorities of PostgreSQL's certificate in PEM form: it is verified against them, and for"
        " the host's name unless the URL says sslmode=verify-ca.",
    )
    database_certificate: str = Field("", description="The service's own certificate to PostgreSQL, in PEM form.")
    database_key: str = Field("", description="The private key of it, where that is in a file of its own.")
    listen: Address = Field("127.0.0.1:50051", description="Where gRPC is served; port 0 takes a free one.")
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        2000,
        description="The most connections of callers. Above it the youngest of the address with most of them end.",
    )
    insecure: bool = Field(
        False,
        description="Listen for gRPC without TLS on an address that others can reach: where something in front has"
        " it, or the network is closed.",
    )
    tls_certificate: str = Field(
        "", description="The certificate chain of gRPC in PEM form; a new one is taken at the next handshake."
    )
    tls_key: str = Field("", description="The private key of it, where that is in a file of its own.")
    tls_client_ca: str = Field(
        "",
        description="The authorities of callers' certificates in PEM form: with it each caller needs one (mTLS),"
        " and with policies it says who that is.",
    )
    metrics_listen: Address = Field(
        "127.0.0.1:9464", description="Where /metrics is served over HTTP; port 0 takes a free one."
    )
    metrics_hosts: Annotated[str, AfterValidator(_host_patterns)] = Field(
        "*.localhost,*.svc,*.cluster.local",
        description="Names that the metrics may be asked for under, against DNS rebinding, with commas between; IP"
        " addresses and names without a dot always are. `*.` stands for any labels, `*` alone for every name.",
    )
    metrics_token: Annotated[SecretStr, AfterValidator(_token)] = Field(
        SecretStr(""),
        description="What readers of the metrics must send as a bearer token, or as the password of HTTP Basic;"
        " /healthz and /readyz need none.",
    )
    metrics_tls_certificate: str = Field(
        "",
        description="The certificate chain of the metrics in PEM form, which makes them HTTPS; a new one is loaded"
        " within a minute.",
    )
    metrics_tls_key: str = Field("", description="The private key of it, where that is in a file of its own.")
    reflection: bool = Field(True, description="Serve gRPC reflection, so that tools can list and call methods.")
    pool_size: Annotated[int, Field(ge=1, le=1000)] = Field(
        8, description="The most connections to PostgreSQL; to SQLite the most that read, beside its one writer."
    )
    replicas: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1,
        description="The most processes of the service that run at once, replicas times workers, those of a rolling"
        " update included: with the pool's size they are the connection budget that is checked at start.",
    )
    pool_timeout: Seconds = Field(
        1.0,
        description="Seconds that a call waits for a free connection; a write on SQLite waits until its deadline.",
    )
    connect_timeout: Seconds = Field(3.0, description="Seconds that connecting to PostgreSQL may take.")
    statement_timeout: Seconds = Field(5.0, description="Seconds after which PostgreSQL ends a statement.")
    slow_query: Seconds = Field(0.5, description="Seconds past which a statement is counted and logged as slow.")
    explain_slow_query: bool = Field(
        False, description="Ask the database for the plans of slow statements, on a connection of their own."
    )
    go_sql_metrics: bool = Field(
        False, description="Also expose the pool under the names of Go's database/sql metrics, go_sql_*."
    )
    default_deadline: Seconds = Field(
        10.0, description="Seconds that a call may take whose caller set no deadline."
    )
    admission: Literal["off", "fixed", "adaptive"] = Field(
        "adaptive",
        description="How the calls in progress are bounded: adaptive finds how many the service serves well, fixed"
        " takes max_in_progress, off lets everything in.",
    )
    max_in_progress: Annotated[int, Field(ge=0, le=100_000)] = Field(
        0, description="The most calls in progress at once; 0 leaves an adaptive bound to find it, up to 1000."
    )
    queue_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        2.0,
        description="Seconds that a call may wait to begin; one that would wait longer, or past its deadline, is"
        " refused as it comes.",
    )
    calls_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0,
        description="Calls in a second that each caller may make: by who it is, or by its address where that is not"
        " known. 0 for any number.",
    )
    burst: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0, description="Calls that a caller may make at once within calls_per_second; 0 for those of one second."
    )
    stream_deadline: Seconds = Field(
        3600.0, description="Seconds that a stream of responses may take at most, such as an export."
    )
    max_streams: Annotated[int, Field(ge=1, le=1000)] = Field(
        2, description="The most streams of responses at once: each holds a connection to the database."
    )
    drain_delay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        1.0,
        description="Seconds between NOT_SERVING and the refusal of new calls, for balancers to notice: one that"
        " watches health knows at once, one that polls it needs as many polls as it wants failures.",
    )
    drain_grace: Seconds = Field(30.0, description="Seconds that calls in progress get to end after SIGTERM.")
    request_id_retention: Annotated[float, Field(ge=86_400, allow_inf_nan=False)] = Field(
        86_400.0,
        description="Seconds for which a write can be repeated by its request_id and has no second effect; a day at"
        " the least. Its answer is kept for so long, and an hour more.",
    )
    soft_delete_retention: Annotated[float, Field(gt=0, le=3_153_600_000, allow_inf_nan=False)] = Field(
        2_592_000.0,
        description="Seconds for which a deleted resource can be restored, where its kind can be; a month unless it"
        " is set. Then it is removed for good.",
    )
    page_token_keys: TokenKeys = Field(
        SecretStr(""),
        description="Secrets that seal page tokens, with commas between them, each of at least 16 characters and"
        " the same for every replica: the first seals, all open. Where it is empty, tokens end with the process.",
    )
    policy: Literal["off", "on"] = Field(
        "off",
        description="Whether callers are authenticated, and may do and see only what the policies give them.",
    )
    jwks: Annotated[str, AfterValidator(_key_set)] = Field(
        "",
        description="The keys that sign the tokens of callers: the path of a JSON Web Key Set, or its https URL. It"
        " is read again when the file changes, or every five minutes.",
    )
    jwt_issuer: str = Field("", description="Who must have issued a token (`iss`); empty for who has such a key.")
    jwt_audience: str = Field("", description="For whom a token must be (`aud`); empty, it may be for anybody.")
    jwt_leeway: Annotated[float, Field(ge=0, le=60)] = Field(
        30.0, description="Seconds that the clocks of the issuer and of the service may be apart."
    )
    jwt_roles_claim: str = Field(
        "roles", description="The claim with the roles of a caller, a list of texts: `realm_access.roles`."
    )
    jwt_attributes: Annotated[str, AfterValidator(_attributes)] = Field(
        "user=user",
        description="The claims that row policies may ask for, as attribute=claim, with commas between them:"
        " `user=marketplace_user` makes `$caller.user`.",
    )
    preshared_keys: str = Field(
        "",
        description="The path of a JSON file of keys that callers send instead of tokens, each with its subject.",
    )
    most_counted: Annotated[int, Field(ge=0, le=2_000_000_000)] = Field(
        100_000,
        description="The most resources that are counted for a total_size; of more, or of those that would take as"
        " long to find, there is an estimated_total_size.",
    )
    filter_unindexed: bool = Field(
        True,
        description="Take filters on fields without an index, and those that look into texts: `title:word`,"
        ' `title = "*end"`, a word by itself. They may read every row of a table.',
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The lowest level that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="The form of log lines; auto is console on a terminal and json elsewhere."
    )

    access_log: Literal["off", "debug", "info", "warning", "error"] = Field(
        "off", description="The level of a line for each RPC; off for none."
    )
    access_log_sample: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="The share of the RPCs answered OK that have a line; one that failed always has one."
    )

    @field_validator("metrics_tls_key", "tls_key", "tls_client_ca", "database_key")
    @classmethod
    def _has_certificate(cls, given: str, info: ValidationInfo) -> str:
        own = str(info.field_name).replace("_key", "_certificate").replace("_client_ca", "_certificate")
        if given and not info.data.get(own):
            what = "authorities" if str(info.field_name).endswith("_ca") else "a key"
            raise ValueError(f"{what} without its certificate: {flag(own)} is empty")
        return given

    @field_validator("max_in_progress")
    @classmethod
    def _fixed_has_number(cls, given: int, info: ValidationInfo) -> int:
        if not given and info.data.get("admission") == "fixed":
            raise ValueError(f"a fixed bound needs its number: {flag('admission')} is fixed")
        return given

    @property
    def logs_access(self) -> bool:
        """Whether RPCs have lines: they are asked for, at a level that is logged."""
        return self.access_log != "off" and LEVELS.index(self.access_log) >= LEVELS.index(self.log_level)

    @property
    def url(self) -> URL:
        """The database's URL, its driver filled in."""
        return make_url(self.database_url.get_secret_value())

    @property
    def token_keys(self) -> list[bytes]:
        """The keys of page tokens, the one that seals first; none where none is set."""
        return [key.strip().encode() for key in self.page_token_keys.get_secret_value().split(",") if key.strip()]

    @property
    def application_name(self) -> str:
        """The name by which the database knows the service: `tablestakes`, of the prefix `TABLESTAKES_`."""
        return self.prefix().rstrip("_").lower()

    @classmethod
    def prefix(cls) -> str:
        """Return the prefix of the environment variables: `TABLESTAKES_`."""
        return str(cls.model_config.get("env_prefix", ""))

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the settings from flags and, for those that are not given, from the environment.

        Args:
            given: Values of flags by setting, as strings or as their types.

        Raises:
            SettingsError: A value is bad; the message names its setting and says why, in one line.
        """
        aliased = {str(cls.model_fields[name].validation_alias or name): value for name, value in given.items()}
        try:
            return cls(**aliased)
        except ValidationError as error:
            name, problem = error.errors()[0]["loc"][0], error.errors()[0]["msg"].removeprefix("Value error, ")
            setting = next(n for n, f in cls.model_fields.items() if name in (n, f.validation_alias))
            raise SettingsError(f"{flag(setting)} ({cls.variable(setting)}): {problem}") from None

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the environment's spelling of a setting: `TABLESTAKES_METRICS_LISTEN`."""
        return str(cls.model_fields[name].validation_alias or cls.prefix() + name.upper())

    @classmethod
    def table(cls, width: int = 100) -> str:
        """Return every setting with its flag, variable, default and meaning, for a terminal of so many columns."""
        lines = []
        for name, field in cls.model_fields.items():
            lines.append(f"  {flag(name)}  ({cls.variable(name)})")
            meaning = f"{field.description} Default: {default(field) or 'empty'}"
            lines += textwrap.wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
        return "\n".join(lines)

    @classmethod
    def markdown(cls) -> str:
        """Return the same table in Markdown, as the documentation holds it."""
        rows = ["| Flag | Environment variable | Default | Meaning |", "|---|---|---|---|"]
        for name, field in cls.model_fields.items():
            value = f"`{default(field)}`" if default(field) else "empty"
            rows.append(f"| `{flag(name)}` | `{cls.variable(name)}` | {value} | {field.description} |")
        return "\n".join(rows)


def flag(name: str) -> str:
    """Return the command line's spelling of a setting: `--metrics-listen`."""
    return "--" + name.replace("_", "-")


def default(field: FieldInfo) -> str:
    """Return a setting's default as a person would write it."""
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return str(value).lower() if isinstance(value, bool) else str(value)


def require_loopback(settings: Settings) -> None:
    """Require that nobody else can reach gRPC without TLS, unless it is asked for.

    Raises:
        SettingsError: The address is not this machine's own alone (RFC 1122, section 3.2.1.3; RFC 4291, 2.5.3).
    """
    if not settings.insecure and not listens_to_itself(settings):
        raise SettingsError(
            f"{flag('listen')} ({settings.variable('listen')}): others can reach {settings.listen}, and it has no"
            f" TLS: set {flag('tls_certificate')}, or {flag('insecure')}=true where something in front has it"
        )


def listens_to_itself(settings: Settings) -> bool:
    """Return whether only this machine can reach gRPC."""
    host = settings.listen.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
