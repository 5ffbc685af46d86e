"""The settings: one model assembled from those that the rooms declare, read from several places, later ones winning.

Sources in order: the defaults in the models, the TOML file (``/etc/modemhub/modemhub.toml`` or ``--config``), the
environment (``MODEMHUB_SECTION__KEY``), the secrets directory (``$CREDENTIALS_DIRECTORY``, as systemd sets it: one file
a key, named ``section__key``).

An unknown key is an error that names the key, the place and the nearest known one; all errors are told at once, as one
:class:`~appliance.errors.SettingsError` of one line each. No default password or token exists.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from appliance.errors import SettingsError
from appliance.http.settings import HttpSettings
from appliance.hub.settings import (
    CallSettings,
    ContactsSettings,
    DetectSettings,
    ModemSettings,
    PolicySettings,
    RecoverySettings,
    SimSettings,
)
from appliance.mqtt.settings import HomeAssistantSettings, MqttSettings
from appliance.store.settings import StoreSettings
from appliance.webhooks.settings import WebhookName, WebhookSettings

__all__ = ["DEFAULT_FILE", "LogSettings", "Settings", "explained", "load", "public", "shown"]

DEFAULT_FILE = Path("/etc/modemhub/modemhub.toml")

ENVIRONMENT = "MODEMHUB_"

NOT_SETTINGS = frozenset(
    {
        *("MODEMHUB_CONFIG", "MODEMHUB_CRASH_AT"),
        *("MODEMHUB_URL", "MODEMHUB_TOKEN", "MODEMHUB_CA", "MODEMHUB_FINGERPRINT"),
    }
)
"""Environment variables of ours that are no settings: the file to read, the tests' crash point, and the hub that the
command line speaks to (``appliance.shell``)."""


class LogSettings(BaseModel):
    """What is written to standard error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    level: Literal["debug", "info", "warning", "error"] = "info"
    """``debug`` shows the dialogue with the modems, and so the texts: not for every day."""


class Settings(BaseSettings):
    """Everything that a user may set."""

    model_config = SettingsConfigDict(
        extra="forbid",
        env_prefix=ENVIRONMENT,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    mqtt: MqttSettings | None = None
    """Absent: no MQTT door."""
    homeassistant: HomeAssistantSettings = HomeAssistantSettings()
    http: HttpSettings = HttpSettings()
    store: StoreSettings = StoreSettings()
    policy: PolicySettings = PolicySettings()
    detect: DetectSettings = DetectSettings()
    calls: CallSettings = CallSettings()
    recovery: RecoverySettings = RecoverySettings()
    modems: list[ModemSettings] = []
    sims: dict[Annotated[str, Field(pattern=r"^(\*|[0-9]{18,20})$")], SimSettings] = {}
    contacts: ContactsSettings = {}
    webhooks: dict[WebhookName, WebhookSettings] = {}
    log: LogSettings = LogSettings()
    _given: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)
    """What each source said, the one that wins first."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not a source of ours
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours knows sections
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Earlier wins: secrets, environment, then what :func:`load` read from the TOML file."""
        return _secrets(), env_settings, init_settings


def _secrets() -> NestedSecretsSettingsSource:
    """The secrets directory, as systemd sets it."""
    return NestedSecretsSettingsSource(
        Settings,  # type: ignore[arg-type] # the settings class will do, says the library
        secrets_dir=os.environ.get("CREDENTIALS_DIRECTORY"),
        secrets_dir_missing="ok",
        secrets_nested_delimiter="__",
        secrets_prefix="",
    )


def load(file: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        file: the TOML file; None: ``$MODEMHUB_CONFIG``, else the default file if it is there.

    Raises:
        SettingsError: with every error, one a line.
    """
    named = file or (Path(os.environ["MODEMHUB_CONFIG"]) if "MODEMHUB_CONFIG" in os.environ else None)
    path = named or DEFAULT_FILE
    content: dict[str, Any] = {}
    if named is not None or path.exists():
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8-sig").replace("\r\n", "\n"))
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: is not TOML: {error}") from error
    strangers = [
        f"{name}: no such setting{_did_you_mean(section, Settings.model_fields)} (environment)"
        for name in os.environ
        if name.startswith(ENVIRONMENT)
        and name not in NOT_SETTINGS
        and (section := name.removeprefix(ENVIRONMENT).lower().split("__")[0]) not in Settings.model_fields
    ]
    try:
        settings = Settings(**content)
    except ValidationError as error:
        raise SettingsError("\n".join([*(_line(problem, path) for problem in error.errors()), *strangers])) from error
    if strangers:
        raise SettingsError("\n".join(strangers))
    settings._given = {"secrets": _secrets()(), "environment": EnvSettingsSource(Settings)(), "file": content}  # noqa: SLF001 - its own module
    return settings


def shown(settings: Settings) -> dict[str, Any]:
    """The settings as JSON, every secret as ``**********``."""
    return settings.model_dump(mode="json")


def public(settings: Settings) -> dict[str, Any]:
    """What every client of the broker may read of the settings: as :func:`shown`, contacts without their numbers."""
    told = shown(settings)
    return told | {"contacts": sorted(told["contacts"])}


def explained(settings: Settings) -> list[dict[str, Any]]:
    """Each setting by its own: ``key``, ``value``, ``source``, ``secret``, ``description``; secrets masked.

    A section that is absent is one setting without a value; a list is one setting.
    """
    told: list[dict[str, Any]] = []
    _explain(settings, shown(settings), (), settings._given, told)  # noqa: SLF001 - its own module
    return told


def _explain(
    settings: Any, value: Any, path: tuple[str, ...], given: dict[str, dict[str, Any]], told: list[dict[str, Any]]
) -> None:
    """Append the settings below one model or mapping."""
    fields = type(settings).model_fields if isinstance(settings, BaseModel) else {}
    names = fields or settings
    for name in names:
        here = (*path, name)
        inner = getattr(settings, name) if fields else settings[name]
        if isinstance(inner, BaseModel) or (isinstance(inner, dict) and inner):
            _explain(inner, value[name], here, given, told)
            continue
        told.append(
            {
                "key": ".".join(f'"{step}"' if "." in step else step for step in here),
                "value": value[name],
                "source": next((source for source, content in given.items() if _has(content, here)), "default"),
                "secret": isinstance(inner, SecretStr)
                or (name in fields and "SecretStr" in str(fields[name].annotation)),
                "description": _words(fields[name].description) if name in fields else None,
            }
        )


def _has(content: Any, path: tuple[str, ...]) -> bool:
    """Whether a source says something of the setting at ``path``."""
    for step in path:
        if not isinstance(content, dict) or step not in content:
            return False
        content = content[step]
    return True


def _words(description: str | None) -> str | None:
    """A docstring as a sentence for a person."""
    return None if description is None else " ".join(description.replace("``", "`").split())


def _line(problem: Any, path: Path) -> str:
    place = ".".join(str(step) for step in problem["loc"])
    source = f"{path} or environment"
    if problem["type"] == "extra_forbidden":
        *above, key = problem["loc"]
        return f"{place}: no such setting{_did_you_mean(str(key), _known(above))} ({source})"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')} ({source})"


def _did_you_mean(key: str, known: Any) -> str:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f': did you mean "{near[0]}"?' if near else f" (known here: {', '.join(sorted(known))})"


def _known(location: list[Any]) -> list[str]:
    """The keys of the section at ``location``."""
    fields: Any = Settings.model_fields
    for step in location:
        model = _model(fields[step].annotation) if isinstance(step, str) and step in fields else None
        if model is not None:
            fields = model.model_fields
    return list(fields)


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``X | None``, ``list[X]`` or ``dict[str, X]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in getattr(annotation, "__args__", ()) if (model := _model(inner)) is not None), None)
