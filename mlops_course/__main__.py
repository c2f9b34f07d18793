"""Run the command line: ``python -m mlops_course``."""

from mlops_course.cli import main

raise SystemExit(main())
