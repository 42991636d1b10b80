"""A schedule as people write it, and as Kubeflow Pipelines reads it."""

import re
from typing import Final

from ...components.failure import Fatal

OFF: Final = "off"
"""In place of a schedule."""
_NAMED: Final = ("@hourly", "@daily", "@weekly", "@monthly")
_FIELDS: Final = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 6))
_FIELD: Final = re.compile(r"[\d*/,?A-Za-z-]+")
_STEPS: Final = re.compile(r"/\d+")


def kubeflow_cron(text: str) -> str:
    """What Kubeflow's scheduler takes for five fields of cron, in UTC.

    It counts seconds first, and takes five fields for the first five of six, without a word: `10 3 * * *` would be
    three minutes past every hour (kubeflow/pipelines issues 2318 and 5014).

    Raises:
        Fatal: it is no schedule.
    """
    if text in _NAMED:
        return text
    fields = text.split()
    if len(fields) != len(_FIELDS) or not all(map(_FIELD.fullmatch, fields)):
        raise Fatal(
            f"--schedule: '{text}' is not five fields (minute, hour, day, month, weekday, in UTC), such as '0 3 * * *'"
            f", nor one of {', '.join((*_NAMED, OFF))}"
        )
    for field, (name, least, most) in zip(fields, _FIELDS, strict=True):
        for number in re.findall(r"\d+", _STEPS.sub("", field)):
            if not least <= int(number) <= most:
                raise Fatal(f"--schedule: '{text}': the {name} {number} is not from {least} to {most}")
    return " ".join(["0", *fields])
