"""Settings: a good value is taken, and any other is refused in one line that gives nothing away."""

import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tablestakes.settings import Settings, SettingsError

PASSWORD = "secretword"
ADDRESSES = ("listen", "metrics_listen")

# fmt: off
NO_ADDRESSES = (
    "", ":", ":5", "::1:5", "[::1]", "::1", "host", "host:", "host:99999", "host:65536", "host:-1", "host:+5",
    "host:٣", "host:5 ", "unix:5", "dns:5", "ipv4:127.0.0.1:5", "ipv6:[::1]:5", "vsock:5", "unix:/tmp/socket:5",
)
# fmt: on

# Text that is almost an address is likelier to be taken for one than any other text.
PIECES = [
    "[",
    "]",
    ":",
    "::1",
    "::",
    "unix",
    "localhost",
    "127.0.0.1",
    ".",
    "0",
    "5",
    "65535",
    "65536",
    "-1",
    "٣",
    " ",
]
NEARLY_ADDRESSES = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
# All but the mark that begins the options, whose names are quoted.
MARKS = st.text(string.punctuation.replace("?", "") + string.digits + "ab é\n", max_size=6)

checked = settings(deadline=None, max_examples=300)


def refused(**given: str) -> str:
    """Return the line that settings are refused with."""
    with pytest.raises(SettingsError) as caught:
        Settings.load(**given)
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("address", ["[::1]:5", "127.0.0.1:0", "localhost:65535", "[::]:50051"])
def test_a_good_address_is_taken_as_it_is(name: str, address: str) -> None:
    """A host, or an IPv6 address in brackets, with a port."""
    assert getattr(Settings.load(**{name: address}), name) == address


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_a_bad_address_is_refused_in_one_line(name: str, address: str) -> None:
    """An address that gRPC would refuse, or take for something other than a host and a port, is refused."""
    assert refused(**{name: address}).endswith(
        f"({Settings.variable(name)}): not host:port, such as 127.0.0.1:50051 or [::1]:50051"
    )


@checked
@given(st.sampled_from(ADDRESSES), st.text() | NEARLY_ADDRESSES)
@example("listen", "::1:5")
@example("listen", "unix:5")
def test_any_text_is_an_address_or_refused(name: str, text: str) -> None:
    """Whatever the text, either it is a host and a port that there can be, or it is refused in one line."""
    try:
        taken = getattr(Settings.load(**{name: text}), name)
    except SettingsError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - both outcomes are good ones
        return
    host, _, port = taken.rpartition(":")
    assert taken == text
    assert host
    assert host not in ("unix", "dns", "ipv4", "ipv6", "vsock")
    assert ":" not in host or (host[0], host[-1]) == ("[", "]")
    assert 0 <= int(port) < 65536


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_sslmode_is_taken_as_the_drivers_ssl(scheme: str) -> None:
    """A URL with libpq's sslmode, as platforms hand it out, asks the driver for the same."""
    url = Settings.load(database_url=f"{scheme}://u:p@h/db?sslmode=require").url
    assert url.drivername == "postgresql+asyncpg"
    assert dict(url.query) == {"ssl": "require"}


@pytest.mark.parametrize(
    ("url", "option"),
    [
        (f"postgresql://u@h/db?password={PASSWORD}", "password"),
        (f"postgresql://u@h/db?ssl=require&passfile={PASSWORD}", "passfile"),
        ("postgresql://u@h/db?statement_timeout=1", "statement_timeout"),
        ("postgresql://u@h/db?channel_binding=require", "channel_binding"),
        ("sqlite:///x.db?sslmode=require", "ssl"),
        ("sqlite:///x.db?timeout=1", "timeout"),
    ],
)
def test_an_unknown_option_of_the_url_is_refused_by_name(url: str, option: str) -> None:
    """An option that the driver does not take is named, without its value."""
    line = refused(database_url=url)
    assert line.startswith(f"--database-url (DATABASE_URL): {option} is not an option of the URL; there are: ")
    assert PASSWORD not in line


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:p@ss:{PASSWORD}@h/db",
        f"postgresql://u:{PASSWORD}@h:port/db",
        f"postgresql://u:{PASSWORD}@h:1:2/db",
        f"mysql://u:{PASSWORD}@h/db",
        f"postgresql:/u:{PASSWORD}@h/db",
        f"{PASSWORD}@h/db",
    ],
)
def test_a_bad_url_gives_no_part_of_its_password_away(url: str) -> None:
    """The line that refuses a URL quotes nothing of it in which a password may be."""
    assert PASSWORD not in refused(database_url=url)


@checked
@given(MARKS, MARKS)
@example("p@ss:", "")
def test_whatever_is_in_a_password_it_is_not_refused(before: str, after: str) -> None:
    """A password with marks in it that ought to be escaped is taken, or refused without a word of it."""
    try:
        Settings.load(database_url=f"postgresql://u:{before}{PASSWORD}{after}@h/db")
    except SettingsError as error:
        assert PASSWORD not in str(error)  # noqa: PT017 - both outcomes are good ones
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - as above


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deployments set a variable to nothing where they mean none: every setting then has its default."""
    for name in Settings.model_fields:
        monkeypatch.setenv(Settings.variable(name), "")
    read = Settings.load()
    assert read.model_dump() == {name: field.default for name, field in Settings.model_fields.items()}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"metrics_token": "too short"}, "--metrics-token (TABLESTAKES_METRICS_TOKEN): not a bearer token"),
        ({"metrics_token": PASSWORD + " with spaces"}, "--metrics-token (TABLESTAKES_METRICS_TOKEN): not a bearer"),
        ({"metrics_hosts": "shop:9464"}, "--metrics-hosts (TABLESTAKES_METRICS_HOSTS): not a list of host names"),
        ({"metrics_hosts": "shop,,svc"}, "--metrics-hosts (TABLESTAKES_METRICS_HOSTS): not a list of host names"),
        ({"metrics_hosts": "shop.*"}, "--metrics-hosts (TABLESTAKES_METRICS_HOSTS): not a list of host names"),
        ({"metrics_tls_key": "key.pem"}, "--metrics-tls-key (TABLESTAKES_METRICS_TLS_KEY): a key without its cert"),
        ({"replicas": "0"}, "--replicas (TABLESTAKES_REPLICAS): "),
        ({"access_log": "loud"}, "--access-log (TABLESTAKES_ACCESS_LOG): "),
    ],
)
def test_the_settings_of_the_metrics_are_checked(given: dict[str, str], reason: str) -> None:
    """A value that would leave the metrics open or closed by mistake is refused, without quoting it."""
    line = refused(**given)
    assert line.startswith(reason)
    assert PASSWORD not in line


@pytest.mark.parametrize("hosts", ["*", "shop", "*.svc, metrics.example.com", "a_b.example"])
def test_hosts_are_names_with_commas_between(hosts: str) -> None:
    """Names, and all names below one, are taken as they are."""
    assert Settings.load(metrics_hosts=hosts).metrics_hosts == hosts
