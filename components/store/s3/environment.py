"""Values of the environment and of mounted files: without what surrounds them by accident, refused by their name."""

import re
from collections.abc import Mapping

from ...failure import Fatal


def value_of(environment: Mapping[str, str], name: str) -> str:
    """A variable's value without white space and line ends around it: files of Secrets end in a newline, and what is
    copied has blanks. Empty where it is not set.
    """
    return environment.get(name, "").strip()


def first_of(environment: Mapping[str, str], *names: str) -> tuple[str, str]:
    """Name and value of the first of some variables that has one; two empty texts where none has."""
    return next(((name, value) for name in names if (value := value_of(environment, name))), ("", ""))


def for_header(name: str, value: str) -> str:
    """The value, which goes into a header of a request or into its address.

    Args:
        name: what gave it, for the message; the value itself is a secret.

    Raises:
        Fatal: it has a character that cannot stand there.
    """
    if not re.fullmatch(r"[ -~]*", value):
        kind = "a line end" if re.search(r"[\r\n]", value) else "a character that is not plain ASCII"
        raise Fatal(f"credentials: {name}: it has {kind} in it, which no request can carry: copy the value anew")
    return value


def for_signing(name: str, value: str) -> str:
    """The value, which signs requests and is never sent: any text in one line.

    Raises:
        Fatal: it has a line end or another character that cannot be seen.
    """
    if not value.isprintable():
        raise Fatal(f"credentials: {name}: it has a line end or another invisible character in it: copy the value anew")
    return value
