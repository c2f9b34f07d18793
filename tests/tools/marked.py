"""The environment variable by which the processes of one test session are known."""

SESSION_VARIABLE = "MLOPS_COURSE_TEST_SESSION"
