"""Run the command line: ``python -m mlops_course``."""

from mlops_course.cli.main import main

raise SystemExit(main())
