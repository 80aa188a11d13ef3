"""`python -m vrasnode`."""

import sys

from vrasnode.cli.main import main

sys.exit(main())
