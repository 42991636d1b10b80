"""A task of a pipeline gets its pod, through what kfp and kfp-kubernetes offer for it."""

from typing import Final

from kfp import dsl, kubernetes

from .pods import ENDPOINTS, LAYOUTS, Pods, Size

USER: Final = 65532
"""Nobody in particular; the image's user."""
_ENDPOINT: Final = "AWS_ENDPOINT_URL_S3"


def set_pod_spec(task: dsl.PipelineTask, on_device: bool, pods: Pods, accelerators: int = 1) -> None:
    """Give a task its pod. Its cache is off: the store knows what is done, and a cached `begin` would lie.

    `set_retry` is not used: under the Argo settings that KFP 2.17 ships it does nothing.

    Args:
        accelerators: of a pod on a device, where pods have any.
    """
    task.set_caching_options(False)
    kubernetes.set_image_pull_policy(task, pods.pull_policy)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    for name, value in pods.environment.items():
        task.set_env_variable(name, value)
    _credentials(task, pods)
    task.set_env_variable("UNECHO_IMAGE", pods.image)
    for name, value in pods.labels.items():
        kubernetes.add_pod_label(task, name, value)
    _size(task, pods.device_size if on_device else pods.size)
    if on_device:
        _place(task, pods, accelerators)


def _credentials(task: dsl.PipelineTask, pods: Pods) -> None:
    keys = dict(LAYOUTS[pods.layout])
    if endpoint := pods.endpoint or ENDPOINTS.get(pods.layout):
        keys.pop(_ENDPOINT, None)
        task.set_env_variable(_ENDPOINT, endpoint)
    # optional, each key: a pod that demands a Secret which is not there would wait for ever instead of failing
    kubernetes.use_secret_as_env(task, pods.secret, keys, optional=True)
    task.set_env_variable("UNECHO_S3_SECRET", pods.secret)  # so that it can say which


def _size(task: dsl.PipelineTask, size: Size) -> None:
    task.set_cpu_request(size.cpu[0]).set_cpu_limit(size.cpu[1])
    task.set_memory_request(size.memory[0]).set_memory_limit(size.memory[1])
    if size.timeout_s:
        kubernetes.set_timeout(task, size.timeout_s)


def _place(task: dsl.PipelineTask, pods: Pods, accelerators: int) -> None:
    if pods.accelerator:
        task.set_accelerator_type(pods.accelerator).set_accelerator_limit(accelerators)
    if pods.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=pods.shared_memory)
    for name, value in pods.node_selector.items():
        kubernetes.add_node_selector(task, name, value)
    for taint in pods.tolerations:
        operator = "Exists" if taint.value is None else "Equal"
        kubernetes.add_toleration(task, taint.key, operator, taint.value, taint.effect)
