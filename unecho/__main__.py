"""`python -m unecho COMMAND ...`: the same as `unecho COMMAND ...`."""

import sys

from unecho.pipelines.commands import main

sys.exit(main())
