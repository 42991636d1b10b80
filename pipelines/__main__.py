"""`python -m pipelines COMMAND ...`: the same as `unecho COMMAND ...`."""

import sys

from pipelines.commands import main

sys.exit(main())
