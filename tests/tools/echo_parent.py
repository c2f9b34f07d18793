"""A process that starts the echo as its child, as MLflow starts its own server."""

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    subprocess.run([sys.executable, Path(__file__).with_name("echo.py"), sys.argv[1]])
