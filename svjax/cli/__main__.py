"""``python -m svjax.cli``, the same as ``svjax``."""

import sys

from svjax.cli.main import main

sys.exit(main())
