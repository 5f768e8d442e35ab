"""Children that tests fork off in interpreters of their own, which import this."""

import os
import signal
import sys
import time


def expect_success(child):
    """Wait for the child's end; where it hangs, dies or has a status of failure, this process ends, too."""
    for _ in range(3000):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.02)
    else:
        os.kill(child, signal.SIGKILL)
        sys.exit("the child hangs")
    if status:
        sys.exit(f"the child computed wrong results or died: {status}")
