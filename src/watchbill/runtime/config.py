"""Settings: read once from the environment (the twelve-factor way), documented as data.

Every field of `Settings` has its variable ``WATCHBILL_<FIELD>``; `documented` lists them with type,
default and meaning, and the reference page is generated from that list.
"""

from __future__ import annotations

import os
import secrets
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from watchbill.kernel.errors import Problem, SetupError

PREFIX = "WATCHBILL_"
INTERNAL = frozenset({"WATCHBILL_SUPERVISOR", "WATCHBILL_LISTEN_FD"})
"""What the supervisor tells its children; nobody sets these by hand."""
CLIENT = frozenset({"WATCHBILL_URL", "WATCHBILL_TOKEN"})
"""What the command line reads to find a server."""
_SECRET = frozenset(
    {
        "database_url",
        "telemetry_url",
        "secret_key",
        "smtp_url",
        "twilio_auth_token",
        "slack_bot_token",
        "slack_app_token",
        "mattermost_token",
        "telegram_bot_token",
        "heartbeat_urls",
    }
)
_MIGRATION_HINT = "see `watchbill up --help` and the reference page on settings"


def default_home() -> Path:
    """``$XDG_DATA_HOME/watchbill`` or ``~/.local/share/watchbill``; for root ``/var/lib/watchbill/main``."""
    if os.geteuid() == 0:
        return Path("/var/lib/watchbill/main")
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "watchbill"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a process can be told. Printing it never shows a secret."""

    home: Annotated[
        Path, Meta(description="Folder of the embedded engines, the generated secret key and the lock.")
    ] = msgspec.field(default_factory=default_home)
    database_url: Annotated[
        str | None,
        Meta(description="postgresql://user:password@host:5432/database. Without it the embedded PostgreSQL is used."),
    ] = None
    telemetry_url: Annotated[
        str | None,
        Meta(description="clickhouse://user:password@host:8123/database. Without it the embedded ClickHouse is used."),
    ] = None
    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port of the web UI, the API and intake.")] = 8080
    otlp_port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of the observer: OTLP over HTTP and telemetry queries.")
    ] = 4318
    otlp_grpc_port: Annotated[
        int | None,
        Meta(
            ge=0,
            le=65535,
            description="Port of the observer for OTLP over gRPC; 0 takes none. Without it 4317 where `otlp_port` is "
            "4318, else none.",
        ),
    ] = None
    health_port: Annotated[
        int | None,
        Meta(
            ge=0,
            le=65535,
            description="Port of /healthz, /readyz and /metrics of pager and worker, on `host`; without it 8081 "
            "(pager) and 8082 (worker), under `watchbill up` a free one, written to <home>/run.",
        ),
    ] = None
    public_url: Annotated[
        str | None,
        Meta(description="The URL people's phones reach; links in pages begin with it. Default: http://host:port."),
    ] = None
    observer_url: Annotated[
        str | None,
        Meta(description="Where the server asks for telemetry. Default: http://127.0.0.1:<otlp_port>."),
    ] = None
    prometheus_urls: Annotated[
        str | None,
        Meta(
            description="Where objectives and demand with `prometheus:` are measured: one URL, or name=url,name=url. "
            "Any server that speaks Prometheus' query API: Mimir, Thanos, VictoriaMetrics."
        ),
    ] = None
    secret_key: Annotated[
        str | None,
        Meta(
            description="Signs links and sessions; at least 32 characters. Several, comma separated, rotate: "
            "the first signs, all verify. Without it one is generated into <home>/secret.key."
        ),
    ] = None
    smtp_url: Annotated[
        str | None,
        Meta(description="smtp://user:password@host:587?starttls or smtps://…; without it no e-mail is sent."),
    ] = None
    mail_from: Annotated[str, Meta(description="Sender of e-mails.")] = "Watchbill <watchbill@localhost>"
    twilio_account_sid: Annotated[
        str | None, Meta(description="Account SID (AC…); text messages and calls go out by Twilio.")
    ] = None
    twilio_auth_token: Annotated[
        str | None, Meta(description="Auth token of that account; it also proves that call-backs are Twilio's.")
    ] = None
    twilio_from: Annotated[
        str | None, Meta(description="The number that calls and writes (+1…); text messages also by a service (MG…).")
    ] = None
    twilio_url: Annotated[str, Meta(description="Twilio's REST API.")] = "https://api.twilio.com"
    slack_bot_token: Annotated[
        str | None, Meta(description="Bot token (xoxb-…) with chat:write, im:write and usergroups:write.")
    ] = None
    slack_app_token: Annotated[
        str | None, Meta(description="App-level token (xapp-…) with connections:write: buttons answer by Socket Mode.")
    ] = None
    slack_url: Annotated[str, Meta(description="Slack's Web API; another one for GovSlack.")] = "https://slack.com/api"
    mattermost_url: Annotated[str | None, Meta(description="Your Mattermost server: https://chat.example.org.")] = None
    mattermost_token: Annotated[str | None, Meta(description="Access token of a bot account there.")] = None
    telegram_bot_token: Annotated[str | None, Meta(description="Token of a bot, from @BotFather.")] = None
    telegram_url: Annotated[str, Meta(description="Telegram's Bot API.")] = "https://api.telegram.org"
    channel_limits: Annotated[
        str,
        Meta(
            description="How fast each channel may be used by all pagers together: name=messages a second/burst, "
            "comma separated."
        ),
    ] = "sms=10/30,voice=1/10,slack=1/20,mattermost=5/20,telegram=20/30"
    tickets_file: Annotated[
        Path | None,
        Meta(
            description="YAML file of connections to GitHub, GitLab and Jira for tickets, with references to their "
            "tokens; see the guide on tickets. Read by server and worker."
        ),
    ] = None
    heartbeat_urls: Annotated[
        str | None,
        Meta(
            description="Comma separated; each is asked for (GET) every minute while pages can really go out, so that "
            "an outside service notices when they cannot."
        ),
    ] = None
    reach_test_days: Annotated[
        int, Meta(ge=0, le=366, description="How often everybody who may be paged gets a test page; 0 is never.")
    ] = 30
    log_format: Annotated[
        Literal["auto", "console", "json"],
        Meta(description="auto: for people on a terminal, JSON lines otherwise."),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged.")
    ] = "info"
    sli_slice_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="Length of the slices that SLI counts are kept in.")
    ] = 60
    evaluation_seconds: Annotated[int, Meta(ge=1, le=3600, description="How often SLOs are evaluated.")] = 15
    settle_seconds: Annotated[
        int,
        Meta(ge=0, description="How long all alerts stay resolved before an undeclared incident resolves itself."),
    ] = 120
    retention_days: Annotated[
        int, Meta(ge=1, description="How long raw telemetry is kept. SLI counts are kept for ever.")
    ] = 30
    max_body_bytes: Annotated[
        int, Meta(ge=1024, description="Largest request body that is read, after decompression.")
    ] = 16 * 1024 * 1024
    allow_private_addresses: Annotated[
        bool,
        Meta(description="Let webhooks and other notifications reach loopback, private and link-local addresses."),
    ] = False
    local_runner: Annotated[
        bool, Meta(description="Start a runner for rollbacks on this machine.")
    ] = False
    kubernetes: Annotated[
        str | None,
        Meta(
            description="Watch the Deployments of a cluster and record their rollouts: in-cluster (the worker's "
            "service account), or the path of a kubeconfig. Without it nothing is watched."
        ),
    ] = None
    kubernetes_context: Annotated[
        str | None, Meta(description="Which context of that kubeconfig; without it the current one.")
    ] = None
    kubernetes_cluster: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=63,
            description="Name of that cluster; workers that watch different clusters name them differently.",
        ),
    ] = "kubernetes"
    kubernetes_namespaces: Annotated[
        str,
        Meta(
            description="Which namespaces are watched, comma separated; * is all. name=environment says which "
            "environment a namespace is: *,shop-staging=staging."
        ),
    ] = "*"
    kubernetes_environment: Annotated[
        str, Meta(min_length=1, max_length=63, description="The environment of namespaces that name none.")
    ] = "production"

    @property
    def base_url(self) -> str:
        """`public_url` or its default, without a trailing slash."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def observer_base_url(self) -> str:
        """Where the observer answers, without a trailing slash."""
        return (self.observer_url or f"http://127.0.0.1:{self.otlp_port}").rstrip("/")

    @property
    def grpc_port(self) -> int | None:
        """Where OTLP over gRPC is taken; None: nowhere."""
        if self.otlp_grpc_port is None:
            return 4317 if self.otlp_port == 4318 else None
        return self.otlp_grpc_port or None

    @property
    def telemetry_store_url(self) -> str:
        """`telemetry_url` or the embedded ClickHouse of this home."""
        return self.telemetry_url or f"chdb://{self.home / 'telemetry'}"

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The keys, the signing one first. Reads, and the first time makes, ``<home>/secret.key``.

        Raises:
            SetupError: a key is too short, or the file cannot be written.
        """
        text = self.secret_key if self.secret_key is not None else _generated_key(self.home)
        keys = tuple(key.strip() for key in text.split(",") if key.strip())
        if not keys or any(len(key) < 32 for key in keys):
            raise SetupError(
                "WATCHBILL_SECRET_KEY has a key shorter than 32 characters",
                code="secret_key",
                hint='python3 -c "import secrets; print(secrets.token_urlsafe(48))" makes one',
            )
        return keys

    def environment(self) -> dict[str, str]:
        """The variables that give another process these very settings (secrets included)."""
        found: dict[str, str] = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None:
                found[variable(name)] = str(value).lower() if isinstance(value, bool) else str(value)
        return found

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={redacted(name, getattr(self, name))!r}" for name in self.__struct_fields__)
        return f"Settings({shown})"


class SettingDoc(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as the reference page shows it."""

    name: str
    variable: str
    type: str
    default: str
    description: str
    secret: bool


def documented() -> list[SettingDoc]:
    """Every setting, in the order of the struct."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    found: list[SettingDoc] = []
    for field in msgspec.structs.fields(Settings):
        kind, meta = typing.get_args(hints[field.name])
        default = "~/.local/share/watchbill" if field.name == "home" else field.default
        found.append(
            SettingDoc(
                name=field.name,
                variable=variable(field.name),
                type=_type_name(kind),
                default="" if default is None else str(default).lower() if isinstance(default, bool) else str(default),
                description=meta.description or "",
                secret=field.name in _SECRET,
            )
        )
    return found


def load(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Read the settings from ``environment`` (default: the process's own).

    ``given`` (from the command line) wins over a variable; None means not given. An empty variable
    counts as not set.

    Raises:
        SetupError: with one problem for each variable that is wrong.
    """
    source = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    hints = typing.get_type_hints(Settings, include_extras=True)
    for name in Settings.__struct_fields__:
        raw = given.get(name)
        if raw is None:
            raw = source.get(variable(name), "").strip() or None
        if raw is None:
            continue
        try:
            values[name] = _convert(hints[name], raw)
        except ValueError as error:
            problems.append(Problem(code="setting", message=f"{error}", place=variable(name), hint=_describe(name)))
    if problems:
        raise SetupError("the settings are wrong", code="settings", hint=_MIGRATION_HINT, problems=problems)
    return Settings(**values)


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """WATCHBILL_* variables that mean nothing: a typing error is worth a warning."""
    source = os.environ if environment is None else environment
    known = {variable(name) for name in Settings.__struct_fields__} | INTERNAL | CLIENT
    return sorted(
        name
        for name in source
        if name.startswith(PREFIX) and name not in known and not name.startswith("WATCHBILL_TEST_")
    )


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def redacted(name: str, value: Any) -> Any:
    """The value as it may be shown: URLs lose their password, keys everything."""
    if name not in _SECRET or not value:
        return value
    if "://" not in str(value):
        return "…"
    parts = urlsplit(str(value))
    return str(value) if parts.password is None else str(value).replace(f":{parts.password}@", ":…@")


def _convert(kind: Any, raw: Any) -> Any:
    base, meta = typing.get_args(kind)
    options = [option for option in _members(base) if option is not type(None)]
    if options == [Path]:
        return Path(raw).expanduser().absolute()
    if options == [bool] and isinstance(raw, str):
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if raw.lower() not in words:
            raise ValueError(f"'{raw}' is neither true nor false")
        return words[raw.lower()]
    try:
        return msgspec.convert(raw, Annotated[options[0], meta], strict=False)
    except msgspec.ValidationError as error:
        if options == [int] and not str(raw).lstrip("-").isdigit():
            raise ValueError(f"'{raw}' is not a whole number") from error
        raise ValueError(f"'{raw}': {str(error)[:1].lower()}{str(error)[1:]}") from error


def _members(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _type_name(kind: Any) -> str:
    names = []
    for member in _members(kind):
        if typing.get_origin(member) is Literal:
            names.append(" | ".join(typing.get_args(member)))
        elif member is not type(None):
            names.append({"str": "text", "int": "number", "Path": "folder", "bool": "true | false"}[member.__name__])
    return " | ".join(names)


def _describe(name: str) -> str:
    return next(setting.description for setting in documented() if setting.name == name)


def _generated_key(home: Path) -> str:
    path = home / "secret.key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = home / f"secret.key.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(scratch, path)  # the first of several processes wins; nobody reads half a key
        except FileExistsError:
            return path.read_text().strip()
        finally:
            scratch.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> SetupError:
    return SetupError(
        f"cannot read or write {path}: {error.strerror}",
        code="home_not_writable",
        hint="mend its owner and mode, set WATCHBILL_SECRET_KEY, or choose another folder with WATCHBILL_HOME",
    )
