"""``python -m arn VERB key=value ...``: the console command, for interpreters without it on the PATH."""

import sys

from arn.cli import main

if __name__ == "__main__":
    sys.exit(main())
