/**
 * A commit that is safe before it is acknowledged: one small transaction and sync(). Baselines, in turns with it and with
 * as many bytes as such a transaction ships: one bare JetStream publish, and one bare object put (a chunk, and its entry).
 */
import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import type { Pair } from './pair.ts';

/** The table's first pages fill before a transaction's size is typical. */
const TYPICAL = 20;

export async function measureReplicatedCommits(pair: Pair, report: Report, rounds: number): Promise<void> {
  const { clock } = pair.env;
  const [blobs, kv] = [await pair.bareBlobs(), await pair.bareKv()];
  using database = new DatabaseSync(pair.primaryPath, { timeout: 10_000 });
  database.exec('PRAGMA synchronous = NORMAL; CREATE TABLE commits (id INTEGER PRIMARY KEY, data BLOB)');
  const insert = database.prepare('INSERT INTO commits (data) VALUES (?)');
  const before = await pair.settle();
  const once = async (): Promise<void> => {
    insert.run(randomBytes(100));
    await pair.primary.sync();
  };
  for (let i = 0; i < TYPICAL; i++) await once();
  const size = (await pair.segmentSizes(before)).at(-1) ?? 0;
  const bytes = randomBytes(size);
  const [commits, publishes, puts] = [new Samples(), new Samples(), new Samples()];
  const timed = async (samples: Samples, work: () => Promise<unknown>): Promise<void> => {
    const from = clock.monotonic();
    await work();
    samples.add(clock.monotonic() - from);
  };
  for (let i = 0; i < rounds; i++) {
    await timed(commits, once);
    await timed(publishes, () => kv.put('message', bytes));
    await timed(puts, () => blobs.put(`object-${i}`, bytes));
  }
  report.note(`a small transaction ships ${size} bytes`);
  report.figure('replicated_commit_to_publish.p50', 'ms', commits.p50, publishes.p50, { of: 'ratio', atMost: 3 });
  report.figure('replicated_commit_to_publish.p99', 'ms', commits.p99, publishes.p99);
  report.figure('replicated_commit_to_object_put.p50', 'ms', commits.p50, puts.p50);
  report.figure('replicated_commit_to_object_put.p99', 'ms', commits.p99, puts.p99);
}
