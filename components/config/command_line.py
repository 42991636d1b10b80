"""The configuration on a command line: the same options for every command that takes one."""

from argparse import ArgumentParser, Namespace
from argparse import _ActionsContainer as ActionsContainer
from pathlib import Path

from .fields import VARIANTS, RunConfig
from .resolve import preset_names, resolve


def add_config_arguments(parser: ArgumentParser, variant: bool = True) -> None:
    """Add --preset, --variant (where one is to be chosen), --config and --set."""
    group = parser.add_argument_group("configuration", "preset, then variant, then file, then --set; the last one wins")
    group.add_argument("--preset", metavar="NAME", help=f"one of: {', '.join(preset_names())}")
    if variant:
        group.add_argument("--variant", metavar="NAME", help=f"one of: {', '.join(VARIANTS)}")
    add_field_arguments(group, "agc.skip_ratio=1.5; may be repeated ('unecho presets --fields' lists all)")


def add_field_arguments(group: ActionsContainer, such_as: str) -> None:
    """Add --config and --set.

    Args:
        group: a parser, or a group of its options.
        such_as: an example of --set, and what else is to be said of it.
    """
    group.add_argument("--config", metavar="FILE", type=Path, help="YAML file with sections of fields")
    group.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], help=f"one field, such as {such_as}"
    )


def config_from(arguments: Namespace) -> RunConfig:
    """The configuration that the options say.

    Raises:
        Fatal: one line that names the field, its value and what is allowed.
    """
    return resolve(arguments.preset, arguments.variant, arguments.config, tuple(arguments.set))
