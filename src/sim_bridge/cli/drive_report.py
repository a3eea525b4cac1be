# SPDX-License-Identifier: Apache-2.0
"""The report of a drive, from the figures of its simulators and of its bridge. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]


def drive_report(simulations: Sequence[Figures], bridge: Figures, cars: int) -> dict[str, Any]:
    """Return the report of a drive with this number of cars.

    `simulations`: newest report of each embedded simulator. `bridge`: its last state.
    `autonomy_percent` counts the takeovers of persons, which only the bridge knows, as
    interventions. With several cars it is that of all cars together. The reports of single
    simulators in `cars` count interventions alone, because no simulator knows its car's number.
    """
    finished = [report for report in simulations if 'autonomy_percent' in report]
    # A simulator that was killed leaves a status, which is no report.
    report = dict(finished[0]) if cars == 1 and finished else _totals(finished)
    for field in ('timeouts', 'late_commands', 'takeovers'):
        report[field] = bridge.get(field, 0)
    if finished:
        report['autonomy_percent'] = _autonomy_percent(finished, report['takeovers'])
    if not simulations:
        for field in ('answers', 'latency_ms', 'telemetry_hz'):
            report[field] = bridge.get(field)
        report['frames'] = bridge.get('telemetry')
    if cars > 1:
        report['latency_ms'] = bridge.get('latency_ms')
        report['cars'] = simulations or bridge.get('cars')
    return report


def summary(report: Figures) -> str:
    """Return a report in one line."""
    latency = report.get('latency_ms') or {}
    parts = [_counted(report.get('frames') or 0, 'frame')]
    # The rate of an external simulator is that of the end, 0 if it has left before.
    if rate_hz := report.get('telemetry_hz'):
        parts[0] += f' at {rate_hz:.1f} Hz'
    parts.append(f'answered in {latency_words(latency)}')
    parts.append(_counted(report['timeouts'], 'timeout'))
    parts.append(_counted(report['takeovers'], 'takeover'))
    if 'laps' in report:
        parts.append(f'{_counted(report["laps"], "lap")}, {report["distance_m"]:.0f} m')
        parts.append(_counted(report['lane_departures'], 'lane departure'))
        parts.append(f'{report["autonomy_percent"]:.1f} % autonomous')
    return ', '.join(parts)


def latency_words(figures: Figures) -> str:
    """Return the median and the 99th percentile of latencies."""
    return f'{figures.get("p50") or 0.0:.1f} ms (p99 {figures.get("p99") or 0.0:.1f})'


def _counted(count: int, noun: str) -> str:
    return f'{count} {noun}' if count == 1 else f'{count} {noun}s'


def _totals(reports: Sequence[Figures]) -> dict[str, Any]:
    """Return the sums of several cars, and the laps of the slowest."""
    if not reports:
        return {}
    added = ('frames', 'answers', 'telemetry_hz', 'distance_m', 'lane_departures', 'interventions')
    totals = {field: sum(report[field] for report in reports) for field in added}
    totals['laps'] = min(report['laps'] for report in reports)
    return totals


def _autonomy_percent(reports: Sequence[Figures], takeovers: int) -> float:
    # Here, because numpy would delay the start of the drive.
    from steering_net.statistics import autonomy_percent

    interventions = takeovers + sum(report['interventions'] for report in reports)
    duration_s = sum(report['duration_s'] for report in reports)
    return autonomy_percent(interventions, max(duration_s, 1e-9))
