"""Run the command line: ``python -m mlops_course``, or the command ``mlops-course``."""

import sys
import traceback

from mlops_course.cli.terminal import INTERRUPTED, UNDECIDED


def main() -> int:
    """Run one command, and return its exit status.

    Python's own status for libraries that cannot be imported is 1, and 1 is a decision here: a gate
    that was never asked would read as one that blocks.
    """
    try:
        from mlops_course.cli.main import main as run

        return run()
    except KeyboardInterrupt:  # while the libraries are imported
        return INTERRUPTED
    except ImportError:
        traceback.print_exc()
        return UNDECIDED


if __name__ == "__main__":
    sys.exit(main())
