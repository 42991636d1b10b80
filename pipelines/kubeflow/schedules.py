"""Recurring runs of Kubeflow Pipelines: one of a name is enabled at most."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kfp_server_api import V2beta1RecurringRun

from ...components.kubeflow_task.entry import whole
from .client import Kubeflow, Version, named
from .healthz import shown

_DISABLED: Final = ("DISABLE", "DISABLED")
"""A mode, and a status."""
_AT_ONCE: Final = 100


@dataclass(frozen=True)
class Scheduled:
    """What recurs now.

    Attributes:
        made: False where it was there already, just as it is asked for.
        replaced: ids of those of the same name that were enabled before and are disabled now.
    """

    id: str
    made: bool
    replaced: tuple[str, ...]


class Schedules(Kubeflow):
    """A connection to Kubeflow Pipelines that starts runs by the clock.

    The API cannot change a recurring run. So another one takes its place, and the earlier one is disabled, not deleted:
    that would end what it has started and what still runs (kubeflow/pipelines issue 12573).
    """

    def schedule(
        self,
        version: Version,
        experiment: str,
        name: str,
        cron: str,
        form: Mapping[str, Any],
        service_account: str | None = None,
    ) -> Scheduled:
        """Let a pipeline recur under a name, one run at a time; a time that was missed is not made up for.

        Killed in between, two are enabled, and the same call again leaves one of them.

        Args:
            cron: as `kubeflow_cron` gives it.
        """
        with self._one_line_errors():
            made = self._client.create_experiment(experiment, namespace=self._namespace)
            enabled = self._enabled(name)
            for one in enabled:
                if _is_as_asked(one, version, made.experiment_id, cron, form, service_account):
                    return Scheduled(one.recurring_run_id, False, self._disable(enabled, one.recurring_run_id))
            new = self._client.create_recurring_run(
                made.experiment_id,
                name,
                cron_expression=cron,
                max_concurrency=1,
                no_catchup=True,
                params=dict(form),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                service_account=service_account,
            )
            return Scheduled(new.recurring_run_id, True, self._disable(enabled, new.recurring_run_id))

    def unschedule(self, name: str) -> tuple[str, ...]:
        """Disable what recurs under a name; the ids. What it has started goes on."""
        with self._one_line_errors():
            return self._disable(self._enabled(name))

    def link_of_schedule(self, id: str) -> str:
        """Where the UI shows a recurring run."""
        ui = os.environ.get("KF_PIPELINES_UI_ENDPOINT", self._host).rstrip("/")
        return f"{shown(ui)}/#/recurringrun/details/{id}"

    def _enabled(self, name: str) -> list[V2beta1RecurringRun]:
        namespace = self._namespace or self._client.get_user_namespace() or None
        found: list[V2beta1RecurringRun] = []
        token = ""
        while True:
            page = self._client.list_recurring_runs(token, _AT_ONCE, namespace=namespace, filter=named(name))
            found += page.recurring_runs or []
            token = page.next_page_token or ""
            if not token:
                return [one for one in found if one.mode not in _DISABLED and one.status not in _DISABLED]

    def _disable(self, enabled: list[V2beta1RecurringRun], but: str | None = None) -> tuple[str, ...]:
        ids = tuple(one.recurring_run_id for one in enabled if one.recurring_run_id != but)
        for id in ids:
            self._client.disable_recurring_run(id)
        return ids


def _is_as_asked(
    there: V2beta1RecurringRun,
    version: Version,
    experiment_id: str,
    cron: str,
    form: Mapping[str, Any],
    service_account: str | None,
) -> bool:
    """Whether it would start the same. Where no account is asked for, the API fills one in."""
    of, when, given = there.pipeline_version_reference, there.trigger, there.runtime_config
    return bool(
        of
        and (of.pipeline_id, of.pipeline_version_id) == (version.pipeline_id, version.version_id)
        and there.experiment_id == experiment_id
        and when
        and when.cron_schedule
        and when.cron_schedule.cron == cron
        and given
        and whole(given.parameters or {}) == dict(form)
        and service_account in (None, there.service_account)
    )
