"""Run the command line: ``python -m mlops_course``."""

from mlops_course.cli.terminal import INTERRUPTED

try:
    from mlops_course.cli.main import main

    raise SystemExit(main())
except KeyboardInterrupt:  # while the libraries are imported
    raise SystemExit(INTERRUPTED) from None
