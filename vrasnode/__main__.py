"""`python -m vrasnode`."""

import sys

from vrasnode.cli import main

sys.exit(main())
