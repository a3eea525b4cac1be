# SPDX-License-Identifier: Apache-2.0
"""What is written to stderr while TensorFlow is imported; no TensorFlow is needed to see it."""

import os
import subprocess
import sys

PROGRAM = """
import os, sys
from steering_net.tensorflow_notices import without_notices
with without_notices():
    os.write(2, b'WARNING: All log messages before absl::InitializeLog() is called ...\\n')
    os.write(2, b'I0000 00:00:1.2 3 port.cc:153] oneDNN custom operations are on.\\n')
    os.write(2, b'F0000 00:00:1.2 3 cpu.cc:1] no AVX\\n')
    print('level', os.environ['TF_CPP_MIN_LOG_LEVEL'], flush=True)
    if len(sys.argv) > 1:
        os.abort()
os.write(2, b'I0000 later\\n')
"""


def run(*words, **variables):
    environment = {name: value for name, value in os.environ.items() if 'TF_CPP' not in name}
    result = subprocess.run(
        [sys.executable, '-c', PROGRAM, *words],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout, [line.split()[0] for line in result.stderr.splitlines()]


def test_only_notices_are_left_out_and_only_meanwhile():
    assert run() == ('level 3\n', ['F0000', 'I0000'])


def test_reason_of_a_crash_is_seen():
    assert run('abort') == ('level 3\n', ['F0000'])


def test_level_that_the_user_chose_is_kept():
    output, lines = run(TF_CPP_MIN_LOG_LEVEL='0')
    assert output == 'level 0\n'
    assert lines == ['WARNING:', 'I0000', 'F0000', 'I0000']
