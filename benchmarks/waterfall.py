# SPDX-License-Identifier: Apache-2.0
"""Duration of each step of an answer: time stamps of real frames in the real processes.

    python benchmarks/waterfall.py [--one-process] [--frames 1500] [--png FILE]

Prints and draws the median time of each step since the first byte of the telemetry was written.
Each stamp costs some microseconds; `make bench` measures without stamps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from options import at_least
from processes import end, isolate, own_port, ros_arguments, start, wait_until_ready
from unity_like import Car, jpegs

STEPS = (
    # Name of the stamp, process that works until then, step that ends then.
    ('bytes', 'wire', 'first bytes read'),
    ('message', 'bridge', 'WebSocket frames unmasked and joined'),
    ('event', 'bridge', 'Engine.IO, Socket.IO and JSON read'),
    ('decoded', 'bridge', 'numbers and base64 decoded'),
    ('/camera/image_raw/compressed published', 'bridge', 'frame serialised and written to DDS'),
    ('frame taken', 'DDS', 'steering woken, frame taken'),
    ('JPEG decoded', 'steering', 'JPEG decoded'),
    ('preprocessed', 'steering', 'cropped, converted, blurred, resized'),
    ('network', 'steering', 'network'),
    ('/cmd/steering published', 'steering', 'command serialised and written to DDS'),
    ('steering taken', 'DDS', 'bridge woken, command taken'),
    ('on the hub', 'bridge', "handed to the server's thread"),
    ('answer', 'bridge', 'paired with the throttle'),
    ('writing', 'bridge', 'Socket.IO and Engine.IO written, writer woken'),
    ('written', 'bridge', 'WebSocket frame written'),
    ('read', 'wire', 'answer read by the client'),
)
COLOURS = {'wire': '#9aa5b1', 'bridge': '#3b6fb6', 'DDS': '#d98c2b', 'steering': '#3f9b5f'}


def traced_drive(frames: int, hz: float, programs: Sequence[str]) -> list[tuple[str, int]]:
    """Return the stamps of all processes, sorted by time."""
    port = own_port()
    with tempfile.TemporaryDirectory() as folder:
        stamping = str(Path(__file__).with_name('stamping.py'))
        nodes = [
            start(stamping, f'{folder}/{program}.json', program, *ros_arguments(port))
            for program in programs
        ]
        try:
            wait_until_ready(port)
            stamps = drive(port, frames, hz)
        finally:
            end(nodes)
        for file in Path(folder).iterdir():
            stamps += map(tuple, json.loads(file.read_text(encoding='utf-8')))
    return sorted(stamps, key=lambda stamp: stamp[1])


def drive(port: int, frames: int, hz: float) -> list[tuple[str, int]]:
    """Drive; return the client's stamps of each write and each read."""
    car = Car(f'ws://127.0.0.1:{port}', jpegs()[0], hz=hz)
    car.open()
    sent = car.client.send_telemetry
    stamps = []

    def send(telemetry) -> None:
        sent(telemetry)
        stamps.append(('sent', round(1e9 * car.client.sent_at_s)))

    car.client.send_telemetry = send
    turn = car.drive(frames / hz)
    car.drain()
    car.leave()
    return stamps + [
        ('read', at + round(1e9 * latency_s))
        for (_, at), latency_s in zip(stamps, turn.latencies_s, strict=False)
    ]


def medians_ms(stamps: list[tuple[str, int]]) -> dict[str, float]:
    """Return by step the median time since the frame was sent, ms, over complete frames."""
    frames: list[dict[str, int]] = []
    for name, at in stamps:
        if name == 'sent':
            frames.append({'sent': at})
        elif frames:
            frames[-1].setdefault(name, at)
    names = [name for name, _, _ in STEPS]
    whole = [frame for frame in frames if all(name in frame for name in names)]
    if not whole:
        missing = {name for name in names if not any(name in frame for frame in frames)}
        raise SystemExit(
            f'no frame has all stamps; missing: {", ".join(missing) or "none in all"}'
        )
    return {
        name: statistics.median(frame[name] - frame['sent'] for frame in whole) / 1e6
        for name in names
    }


def table(at_ms: dict[str, float]) -> str:
    """Return the steps as a Markdown table."""
    lines = ['| process | step | ms | since the start |', '|---|---|---|---|']
    before = 0.0
    for name, process, step in STEPS:
        lines.append(f'| {process} | {step} | {at_ms[name] - before:.2f} | {at_ms[name]:.2f} |')
        before = at_ms[name]
    return '\n'.join(lines)


def draw(at_ms: dict[str, float], path: Path) -> None:
    """Draw one bar for each step."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout='constrained')
    before = 0.0
    for row, (name, process, _) in enumerate(STEPS):
        axes.barh(row, at_ms[name] - before, left=before, color=COLOURS[process])
        axes.text(at_ms[name] + 0.03, row, f'{at_ms[name] - before:.2f}', va='center', fontsize=8)
        before = at_ms[name]
    axes.set_yticks(range(len(STEPS)), [step for _, _, step in STEPS], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0.0, before * 1.06)
    axes.set_xlabel('ms since the first byte of the telemetry')
    axes.legend(
        [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()],
        COLOURS, frameon=False, fontsize=8, loc='upper right',
    )  # fmt: skip
    axes.spines[['top', 'right']].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--frames', type=at_least(1), default=1500)
    parser.add_argument('--one-process', action='store_true', help='the nodes in one process')
    parser.add_argument(
        '--hz', type=at_least(1.0), default=60.0, help='frames a second of the client'
    )
    parser.add_argument('--png', type=Path, help='draw into this file')
    args = parser.parse_args()
    isolate()
    programs = ('together',) if args.one_process else ('bridge', 'steering', 'throttle')
    at_ms = medians_ms(traced_drive(args.frames, args.hz, programs))
    print(table(at_ms))
    if args.png:
        draw(at_ms, args.png)


if __name__ == '__main__':
    main()
