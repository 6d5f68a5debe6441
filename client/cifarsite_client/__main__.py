"""`python -m cifarsite_client`: the command, where it is not installed as one."""

import sys

from cifarsite_client.command import main

sys.exit(main())
