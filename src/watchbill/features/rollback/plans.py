"""How a service is put back, as its manifest says it: one struct for each executor.

These are what a runner is told to do. Wherever a secret is needed there is a reference (``env:NAME`` or ``file:/path``)
that the runner resolves on its own machine; the secret itself never comes here. Texts may hold the placeholders
``{service}``, ``{environment}``, ``{version}`` (the bad one) and ``{previous_version}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

SECRET_PATTERN = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$"  # noqa: S105  the shape of a reference, not a secret

SecretRef = Annotated[
    str,
    Meta(
        pattern=SECRET_PATTERN,
        description="Where the runner finds the secret: env:NAME or file:/path, on its own machine.",
        extra={"expected": "a reference to a secret on the runner: env:NAME or file:/path"},
    ),
]
Text = Annotated[str, Meta(min_length=1, max_length=500)]
Url = Annotated[
    str, Meta(pattern=r"^https?://\S+$", max_length=2000, extra={"expected": "an address that begins with https://"})
]


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Base of the executors' plans."""


class Shell(Plan, frozen=True, kw_only=True):
    """A command on the runner's machine; no shell reads it. It succeeds with exit code 0."""

    command: Annotated[list[Text], Meta(min_length=1, max_length=50, description="Program and arguments.")]
    directory: Annotated[Text, Meta(description="Where it runs.")] | None = None
    environment: Annotated[dict[str, str], Meta(description="Added to its environment; secrets as references.")] = (
        msgspec.field(default_factory=dict)
    )


class Webhook(Plan, frozen=True, kw_only=True):
    """One HTTP request to a system that knows how; 2xx is success. With ``statusUrl`` it is asked until it is done."""

    url: Url
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: Annotated[dict[str, str], Meta(description="Secrets as references: env:NAME or file:/path.")] = (
        msgspec.field(default_factory=dict)
    )
    body: Annotated[dict[str, str], Meta(description="Sent as JSON.")] = msgspec.field(default_factory=dict)
    status_url: Annotated[Url, Meta(description="Asked until its JSON's status is succeeded or failed.")] | None = None


class Kubernetes(Plan, frozen=True, kw_only=True):
    """``kubectl rollout undo`` of a Deployment, through the API, and a wait until it is rolled out."""

    namespace: Text = "default"
    deployment: Annotated[Text, Meta(description="The service's name when left out.")] = "{service}"
    context: Annotated[Text, Meta(description="Of the runner's kubeconfig.")] | None = None


class ArgoCd(Plan, frozen=True, kw_only=True):
    """Roll an Argo CD application back to its deployment before the last one."""

    server: Url
    token: SecretRef
    application: Text = "{service}"


class ArgoRollouts(Plan, frozen=True, kw_only=True):
    """Abort a Rollout that goes on; one that is done is set back to its previous revision's template."""

    namespace: Text = "default"
    rollout: Text = "{service}"
    context: Text | None = None


class FeatureFlag(Plan, frozen=True, kw_only=True):
    """Set a flag to its safe variant through the provider's HTTP API, and ask by OFREP whether it took.

    ``ofrepUrl`` is the OpenFeature Remote Evaluation Protocol's base, as flagd and others serve it.
    """

    flag: Text
    variant: Annotated[Text, Meta(description="The safe one.")] = "off"
    url: Annotated[Url, Meta(description='Where the flag is changed: PUT {url} with {"defaultVariant": variant}.')]
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    ofrep_url: Url | None = None


class Github(Plan, frozen=True, kw_only=True):
    """Start a workflow by ``workflow_dispatch``, and wait for its run."""

    repository: Annotated[str, Meta(pattern=r"^[^/\s]+/[^/\s]+$", extra={"expected": "owner/name"})]
    workflow: Annotated[Text, Meta(description="The workflow's file name, such as revert.yml.")]
    token: SecretRef
    ref: Text = "main"
    inputs: dict[str, str] = msgspec.field(default_factory=lambda: {"version": "{previous_version}"})
    api: Url = "https://api.github.com"


class Gitlab(Plan, frozen=True, kw_only=True):
    """Trigger a pipeline with a trigger token, and wait for it."""

    project: Annotated[Text, Meta(description="Its number or full path.")]
    trigger_token: SecretRef
    token: Annotated[SecretRef, Meta(description="A token that may read pipelines.")]
    ref: Text = "main"
    variables: dict[str, str] = msgspec.field(default_factory=lambda: {"VERSION": "{previous_version}"})
    api: Url = "https://gitlab.com/api/v4"


EXECUTORS: Mapping[str, type[Plan]] = {
    "shell": Shell,
    "webhook": Webhook,
    "kubernetes": Kubernetes,
    "argoCd": ArgoCd,
    "argoRollouts": ArgoRollouts,
    "featureFlag": FeatureFlag,
    "github": Github,
    "gitlab": Gitlab,
}
"""By the key that names them in a manifest."""


_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+:@/~-]{0,199}")
"""What a version may look like that is put into a command or an address: no blank, no sign of a shell, no option."""


def unfit(executor: str, plan: Mapping[str, Any], *, version: str | None, previous_version: str | None) -> str | None:
    """Why the placeholders of a plan cannot be filled; None when they can.

    Versions come from pipelines, webhooks and telemetry, and end in commands.
    """
    try:
        filled = msgspec.convert(dict(plan), EXECUTORS[executor])
    except msgspec.ValidationError:
        return None  # the runner says what is wrong with it
    # With the defaults that a written plan leaves out.
    whole = msgspec.json.encode(list(msgspec.structs.asdict(filled).values())).decode()
    for name, word in (("previous_version", previous_version), ("version", version)):
        if "{" + name + "}" not in whole:
            continue
        if not word:
            which = "the version before it" if name == "previous_version" else "its version"
            return f"{which} is not known, and its {executor} executor needs it"
        if not _SAFE.fullmatch(word):
            return f"'{word[:80]}' is no version that may be put into a command"
    return None


def fill(value: Any, words: Mapping[str, str]) -> Any:
    """``value`` with its placeholders filled, at any depth; an unknown one stays as it is written."""
    if isinstance(value, str):
        for name, word in words.items():
            value = value.replace("{" + name + "}", word)
        return value
    if isinstance(value, dict):
        return {key: fill(each, words) for key, each in value.items()}
    return [fill(each, words) for each in value] if isinstance(value, list) else value
