"""What every test finds; and, with RIESZ_PYTHON_ALL set, that no test is skipped for want of a library or of the program."""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))


def pytest_sessionfinish(session: Any) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("RIESZ_PYTHON_ALL"):
        return
    reasons = {report.longrepr[2] for report in reporter.stats.get("skipped", [])}
    lacking = sorted(reason for reason in reasons if "could not import" in reason or "is not built" in reason)
    if lacking:
        reporter.write_line("\nnothing may be lacking here: " + "; ".join(lacking))
        session.exitstatus = 1
