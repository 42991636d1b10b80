"""What the pods of a compiled pipeline look like: image, resources, where they run, the store's Secret; and the options
that say it."""

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from ...components.config import RunConfig
from ...components.failure import Fatal
from ...components.kubeflow_task.entry import ROOT
from ...components.log import SECRET_VARIABLES, redacted

SecretLayout = Literal["unecho", "mlpipeline-minio-artifact"]
LAYOUTS: Final[Mapping[SecretLayout, Mapping[str, str]]] = {
    "unecho": {
        name: name
        for name in (
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_ENDPOINT_URL_S3",
            "AWS_REGION",
        )
    },
    "mlpipeline-minio-artifact": {"accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY"},
}
"""Key of the Secret -> environment variable."""
SECRETS: Final[Mapping[SecretLayout, str]] = {
    "unecho": "unecho-s3",
    "mlpipeline-minio-artifact": "mlpipeline-minio-artifact",
}
"""The Secret's usual name."""
ENDPOINTS: Final[Mapping[SecretLayout, str]] = {"mlpipeline-minio-artifact": "http://seaweedfs.kubeflow:9000"}
"""Where the store is when its Secret does not say so: Kubeflow's own, as Kubeflow Pipelines calls it since 2.16."""


@dataclass(frozen=True)
class Toleration:
    """A taint that a pod may run beside. Without a value any value of the key will do."""

    key: str
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


@dataclass(frozen=True)
class Size:
    """A pod's share of its node, in Kubernetes' quantities.

    Attributes:
        cpu, memory: request and limit.
        timeout_s: seconds after which Kubernetes ends the pod; 0 for never.
    """

    cpu: tuple[str, str]
    memory: tuple[str, str]
    timeout_s: int = 0


@dataclass(frozen=True)
class Pods:
    """What the pods look like.

    Attributes:
        accelerator: resource name, such as nvidia.com/gpu, of which a device pod gets one.
        accelerators: of a pod that trains.
        size: of pods that need no device; device_size: of the others.
        shared_memory: size limit of /dev/shm of device pods; None leaves the runtime's 64 MiB.
        node_selector, tolerations: of device pods.
        secret: name of the Secret with the store's credentials; layout: which keys it has.
        endpoint: the store's address; None: the Secret's, or AWS.
        labels: of all pods; environment: variables of all pods, which whoever sees the pipeline reads.
    """

    image: str
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    accelerator: str | None = None
    accelerators: int = 1
    size: Size = Size(("1", "4"), ("2Gi", "8Gi"))
    device_size: Size = Size(("2", "8"), ("4Gi", "16Gi"))
    shared_memory: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    secret: str = SECRETS["unecho"]
    layout: SecretLayout = "unecho"
    endpoint: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_CPU: Final = re.compile(r"\d+(\.\d+)?|\d+m")
_MEMORY: Final = re.compile(r"\d+[EPTGMK]i?")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IMAGE: Final = re.compile(r"[^\s:/@]+(:\d+)?(/[^\s:/@]+)*(:[^\s:/@]+)?(@sha256:[0-9a-f]{64})?")


def add_pod_arguments(parser: ArgumentParser, root: bool = True) -> None:
    """Add all options of `Pods`, --parallelism and --root.

    Args:
        root: add --root, which other options may have brought already.
    """
    pods = parser.add_argument_group("pods")
    pods.add_argument("--image", metavar="IMAGE", help="image of all steps (required)")
    pods.add_argument("--pull-policy", choices=("Always", "IfNotPresent", "Never"), default="IfNotPresent")
    pods.add_argument("--label", type=_pair, action="append", default=[], metavar="KEY=VALUE", help=_LABEL)
    pods.add_argument("--env", type=_variable, action="append", default=[], metavar="NAME=VALUE", help=_ENV)
    pods.add_argument("--cpu", type=_cpu, default="1:4", metavar="REQUEST:LIMIT", help=_SIZE)
    pods.add_argument("--memory", type=_memory, default="2Gi:8Gi", metavar="REQUEST:LIMIT", help=_SIZE)
    pods.add_argument("--timeout", type=_seconds, default=0, metavar="SECONDS", help=_TIMEOUT)
    device = parser.add_argument_group("pods that encode, train, sample and measure")
    device.add_argument("--accelerator", metavar="RESOURCE", help="such as nvidia.com/gpu (default: none)")
    device.add_argument("--accelerators-per-shard", type=_positive, metavar="N", help=_OF_SHARD)
    device.add_argument("--node-selector", type=_pair, action="append", default=[], metavar="KEY=VALUE", help=_AGAIN)
    device.add_argument(
        "--toleration",
        type=_toleration,
        action="append",
        metavar="KEY[=VALUE][:EFFECT]",
        help=f"{_AGAIN} (default: the accelerator's taint)",
    )
    device.add_argument("--device-cpu", type=_cpu, default="2:8", metavar="REQUEST:LIMIT", help=_SIZE)
    device.add_argument("--device-memory", type=_memory, default="4Gi:16Gi", metavar="REQUEST:LIMIT", help=_SIZE)
    device.add_argument("--device-timeout", type=_seconds, default=0, metavar="SECONDS", help=_TIMEOUT)
    device.add_argument(
        "--shared-memory", type=_quantity, metavar="SIZE", help="of /dev/shm (default: 2Gi with an accelerator)"
    )
    device.add_argument(
        "--parallelism",
        type=_positive,
        default=RunConfig().execution.parallelism,
        metavar="N",
        help="how many run at once (default: %(default)s)",
    )
    store = parser.add_argument_group("store")
    if root:
        store.add_argument("--root", metavar="URL", help="s3://bucket/prefix, as the form's default")
    store.add_argument(
        "--secret", metavar="NAME", help="Secret with its credentials (default: unecho-s3, or Kubeflow's)"
    )
    store.add_argument(
        "--secret-layout", choices=tuple(LAYOUTS), default="unecho", help="keys as AWS_ACCESS_KEY_ID, or Kubeflow's own"
    )
    store.add_argument("--endpoint", metavar="URL", help="its address (default: the Secret's, or Kubeflow's own)")


_AGAIN: Final = "may be repeated"
_OF_SHARD: Final = "of a pod that trains, which is the run's train.gpus_per_shard (default: 1; submit: that field's)"
_LABEL: Final = f"such as kueue.x-k8s.io/queue-name=gpus; {_AGAIN}"
_ENV: Final = f"environment of all pods, no secrets: everybody reads it in the pipeline; {_AGAIN}"
_SIZE: Final = "one value sets both (default: %(default)s)"
_TIMEOUT: Final = "end a pod after so long (default: never)"


def accelerators_of(given: int | None, config: RunConfig, exactly: bool = True) -> int:
    """Accelerators of a pod that trains, as the run's configuration says.

    Args:
        given: by --accelerators-per-shard.
        exactly: else there may be more of them, for further processes of the pod.

    Raises:
        Fatal: the option says otherwise.
    """
    wanted = config.train.gpus_per_shard
    if given is not None and (given != wanted if exactly else given < wanted):
        raise Fatal(
            f"--accelerators-per-shard: {given}, but train.gpus_per_shard is {wanted}: leave the option out, or give "
            f"--set train.gpus_per_shard={given}"
        )
    return given or wanted


def pods_from(arguments: Namespace) -> Pods:
    """The pods that the options say.

    Raises:
        Fatal: there is no image, or it is none.
    """
    image = arguments.image
    if not image:
        raise Fatal("--image: missing: give the image of the steps, such as registry.example.com/unecho:0.1.0")
    if not _IMAGE.fullmatch(image):
        raise Fatal(f"--image: '{image}' is no name of an image: give [HOST/]NAME[:TAG][@DIGEST]")
    layout = cast(SecretLayout, arguments.secret_layout)
    accelerator = arguments.accelerator
    usual = (Toleration(accelerator, effect="NoSchedule"),) if accelerator else ()
    return Pods(
        image=image,
        pull_policy=arguments.pull_policy,
        accelerator=accelerator,
        accelerators=arguments.accelerators_per_shard or 1,
        size=Size(arguments.cpu, arguments.memory, arguments.timeout),
        device_size=Size(arguments.device_cpu, arguments.device_memory, arguments.device_timeout),
        shared_memory=arguments.shared_memory or ("2Gi" if accelerator else None),
        node_selector=dict(arguments.node_selector),
        tolerations=usual if arguments.toleration is None else tuple(arguments.toleration),
        secret=arguments.secret or SECRETS[layout],
        layout=layout,
        endpoint=arguments.endpoint,
        labels={"app.kubernetes.io/name": "unecho"} | dict(arguments.label),
        environment=dict(arguments.env),
    )


def defaults_from(arguments: Namespace) -> Mapping[str, Any]:
    """The form's defaults that the options say."""
    root = {ROOT: arguments.root} if arguments.root else {}
    several = arguments.accelerators_per_shard or 1
    if several == 1 or arguments.pipeline == "retrain":  # the one pod of a retraining has them for its processes
        return root
    if arguments.pipeline == "audit":
        raise Fatal(f"--accelerators-per-shard: {several}: an audit trains no shard: leave it out")
    return root | {"overrides": {"train": {"gpus_per_shard": several}}}


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ArgumentTypeError(f"'{text}' is not KEY=VALUE")
    return key, value


def _variable(text: str) -> tuple[str, str]:
    name, value = _pair(text)
    if not _NAME.fullmatch(name):
        raise ArgumentTypeError(f"'{name}' is no name of a variable")
    if name in SECRET_VARIABLES or redacted(text) != text:
        raise ArgumentTypeError(f"{name}: it holds a secret, and everybody reads the pipeline")
    return name, value


def _toleration(text: str) -> Toleration:
    rest, _, effect = text.partition(":")
    key, sign, value = rest.partition("=")
    if not key or (effect and effect not in _EFFECTS):
        raise ArgumentTypeError(f"'{text}' is not KEY[=VALUE][:EFFECT] with an effect of {', '.join(_EFFECTS)}")
    given = cast(Literal["NoSchedule", "PreferNoSchedule", "NoExecute"], effect) if effect else None
    return Toleration(key, value if sign else None, given)


def _cpu(text: str) -> tuple[str, str]:
    return _both(text, _CPU, "cores such as 4, 0.5 or 500m")


def _memory(text: str) -> tuple[str, str]:
    return _both(text, _MEMORY, "a size such as 8Gi")


def _both(text: str, form: re.Pattern[str], wanted: str) -> tuple[str, str]:
    request, sign, limit = text.partition(":")
    if not sign:
        limit = request
    for value in (request, limit):
        if not form.fullmatch(value):
            raise ArgumentTypeError(f"'{value}' is not {wanted}")
    return request, limit


def _quantity(text: str) -> str:
    return _memory(text)[0]


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"'{text}' is not a number of 1 or more")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdigit():
        raise ArgumentTypeError(f"'{text}' is not a number of seconds")
    return int(text)
