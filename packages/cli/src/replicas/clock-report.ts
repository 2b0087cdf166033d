/** `canopy replication clock-report`: how far the clocks of nodes are apart, never finer than the round trip to them allows. */
import { formatDuration } from '@canopy/core';
import type { ClockComparisonReport } from '@canopy/replication';
import type { Printer } from '../output/printer.ts';
import { type Cell, renderTable } from '../output/table.ts';
import { findingLines, look, type NamespaceOptions } from './asking.ts';

export function clockReport(options: NamespaceOptions, printer: Printer): Promise<number> {
  return look(options, printer, async (admin) => {
    const report = await admin.clockReport();
    return { data: report, text: () => clockText(report), isWell: report.findings.length === 0 };
  });
}

export function clockText({ rows, findings }: ClockComparisonReport): string {
  const cells = rows.map((row): Cell[] => [
    row.node,
    offsetText(row.offsetMs, row.boundMs),
    rows.length < 2 ? undefined : offsetText(row.driftMs, row.driftBoundMs),
    formatDuration(row.roundTripMs),
    row.aheadMs === undefined ? undefined : formatDuration(row.aheadMs),
    row.rejected,
  ]);
  const header = ['NODE', 'TO THIS MACHINE', 'TO THE OTHERS', 'ROUND TRIP', 'LOGICAL TIME AHEAD', 'REFUSED'];
  return [renderTable(header, cells), ...findingLines(findings)].join('\n');
}

/** `+1.25s ±56ms`, with all digits: rounding here would not be in the bound. Within its bound it can't be told from nothing. */
export function offsetText(offsetMs: number, boundMs: number): string {
  const size = Math.abs(offsetMs);
  if (size <= boundMs) return `within ±${exact(size + boundMs)}`;
  return `${offsetMs < 0 ? '-' : '+'}${exact(size)} ±${exact(boundMs)}`;
}

function exact(ms: number): string {
  return ms < 1000 ? `${ms}ms` : `${ms / 1000}s`;
}
