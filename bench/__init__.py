"""What is claimed about speed and statistics, as commands: `python -m bench` runs the quick ones."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))  # the same running service as the tests
