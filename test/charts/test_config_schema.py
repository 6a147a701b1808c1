"""The chart's schema knows the configuration as the server does."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_charts_schema_is_what_the_configuration_says():
    done = subprocess.run([sys.executable, ROOT / "charts" / "config_schema.py", "--check"], capture_output=True, text=True,
                          check=False, timeout=120)
    assert done.returncode == 0, done.stderr
