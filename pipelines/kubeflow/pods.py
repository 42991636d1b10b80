"""What the pods of a compiled pipeline look like: image, resources, where they run, the store's Secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

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
ENDPOINTS: Final[Mapping[SecretLayout, str]] = {"mlpipeline-minio-artifact": "http://minio-service.kubeflow:9000"}
"""Where the store is when its Secret does not say so: Kubeflow's own."""


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
        accelerator: resource name, such as nvidia.com/gpu, of which a device pod gets `accelerators`.
        size: of pods that need no device; device_size: of the others.
        shared_memory: size limit of /dev/shm of device pods; None leaves the runtime's 64 MiB.
        node_selector, tolerations: of device pods.
        secret: name of the Secret with the store's credentials; layout: which keys it has.
        endpoint: the store's address; None: the Secret's, or AWS.
        labels: of all pods.
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
