/**
 * How fast a database comes back from its log: the newest image and everything after it into a new file. Baseline: the
 * same objects, fetched from the bucket one after the other and thrown away.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { restore } from '@canopy/sqlite';
import type { Report } from '../../harness.ts';
import type { Pair } from './pair.ts';
import { median } from './writers.ts';

export async function measureRestore(pair: Pair, report: Report, turns: number): Promise<void> {
  const { clock } = pair.env;
  await pair.settle();
  const log = pair.segmentLog();
  const rates = { restored: [] as number[], fetched: [] as number[] };
  for (let turn = 0; turn < turns; turn++) {
    const image = (await log.snapshots()).at(-1);
    const entries = await log.entries((image?.maxTxid ?? 0) + 1);
    const names = [...(image === undefined ? [] : [image]), ...entries].map(({ name }) => name);
    let bytes = 0;
    const from = clock.monotonic();
    for (const name of names) {
      const blob = await pair.logBlobs.get(name);
      if (blob !== undefined) for await (const piece of blob.data) bytes += piece.length;
    }
    rates.fetched.push(bytes / 1000 / (clock.monotonic() - from));
    const dest = join(pair.directory, `restored-${turn}.db`);
    const restored = await restore({ log, dest });
    rates.restored.push(restored.bytes / 1000 / restored.ms);
    rmSync(dest);
    if (turn === 0) report.note(`restored ${restored.files} objects of ${Math.round(restored.bytes / 1e6)} MB`);
  }
  const middle = (values: readonly number[]): number => median(values, (value) => value);
  report.figure('restore', 'MB/s', middle(rates.restored), middle(rates.fetched), { of: 'ratio', atLeast: 0.5 });
}
