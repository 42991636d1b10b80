"""Which run the coordinator Job of a namespace is of."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import yaml

from ...components.config.resolve import resolve, variant_slug
from ...components.failure import Fatal
from ...components.run import Run
from .cluster import Cluster
from .job_spec import owner_name

_SELECTOR: Final = "unecho/coordinator=true"
_FILE: Final = "run.yaml"
"""Key of the ConfigMap that has the configuration's fields."""


def coordinators(cluster: Cluster, run: Run) -> list[Any]:
    """The coordinator Jobs of a run: those that own its ConfigMap, and those that would start it and have not yet."""
    found = cluster.jobs(_SELECTOR)
    if not found:
        return []
    config_map = cluster.config_map(owner_name(run.name))
    owners = set()
    if config_map is not None and (config_map.data or {}).get("run") == run.url:
        owners = {reference.uid for reference in config_map.metadata.owner_references or []}
    return [job for job in found if job.metadata.uid in owners or _address(cluster, job) == run.url]


def _address(cluster: Cluster, job: Any) -> str | None:
    """The address of the run that a coordinator's command line names; None where it cannot be known: a retraining names
    its run by the data, and owns its ConfigMap from the first pod on.
    """
    maps: dict[str, Mapping[str, str]] = {}

    def data(name: str) -> Mapping[str, str]:
        if name not in maps:
            found = cluster.config_map(name)
            maps[name] = (found.data or {}) if found else {}
        return maps[name]

    pod = job.spec.template.spec
    if (pod.containers[0].args or [""])[0] == "retrain":
        return None
    options = _options(pod.containers[0], data)
    root, name = options.get("root"), options.get("name")
    try:
        if not name:
            files = [data(v.config_map.name).get(_FILE, "") for v in pod.volumes or [] if v.config_map]
            name = _default_name(options, next((text for text in files if text), ""))
        return Run.at(root, name).url if root else None
    except Fatal:  # it says so itself
        return None


def _options(container: Any, data: Callable[[str], Mapping[str, str]]) -> dict[str, str]:
    """The options of a command line, by name, its $(VARIABLES) filled in as Kubernetes does it."""
    values: dict[str, str] = {}
    for variable in container.env or []:
        reference = variable.value_from and variable.value_from.config_map_key_ref
        found = data(reference.name).get(reference.key) if reference else variable.value
        values |= {variable.name: found} if found is not None else {}
    words = [re.sub(r"\$\((\w+)\)", lambda m: values.get(m[1], m[0]), word) for word in container.args or []]
    options = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, sign, value = word.partition("=")
        if name.startswith("--"):
            options[name.removeprefix("--")] = value if sign else following
    return options


def _default_name(options: Mapping[str, str], text: str) -> str:
    """The name of a run that is given none: preset, variant and seed."""
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError:
        fields = None
    given = fields if isinstance(fields, dict) else None
    config = resolve(options.get("preset") or None, options.get("variant") or None, overrides=given)
    return f"{config.preset or 'run'}-{variant_slug(config.variant)}-{config.seed}"
