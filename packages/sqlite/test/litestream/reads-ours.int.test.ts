/** Litestream's restore on a bucket that our primary wrote: the same bytes as ours, at the end and at transactions. */
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PageEncoding } from '../../src/ltx/header.ts';
import type { RestoreTarget } from '../../src/restore/plan.ts';
import { TestCluster, write } from '../database/cluster.ts';
import { BUILD_TIMEOUT_MS, type Generation, type LitestreamBinaries, litestreamBinaries } from './binaries.ts';
import { contentOf, LitestreamRig } from './rig.ts';
import { keep } from './upkeep.ts';
import { createDatabase, STEPS } from './workload.ts';

let binaries: LitestreamBinaries;
let cluster: TestCluster;

beforeAll(
  async () => {
    binaries = await litestreamBinaries();
    cluster = await TestCluster.start();
  },
  2 * BUILD_TIMEOUT_MS + 60_000,
);

afterAll(() => cluster[Symbol.asyncDispose]());

const SINGLES = 20;

interface Written {
  readonly rig: LitestreamRig;
  /** The database's contents at transactions. */
  readonly states: ReadonlyMap<number, string>;
  readonly end: number;
}

/** What our primary makes of the workload: with a snapshot in the middle, and a WAL that is begun anew again and again. */
async function written(app: string, pageSize: number, pageEncoding: PageEncoding): Promise<Written> {
  const path = join(cluster.directory.path, `${app}.db`);
  createDatabase(path, pageSize);
  // Merged is later, all at once.
  const once = { compactionLevels: [] };
  const options = { pageEncoding, checkpointPages: 10, snapshotInterval: '1s', pollInterval: 5, ...once };
  const node = cluster.node('a', options, { path, app });
  await node.database.start();
  await node.promote(1);
  const states = new Map<number, string>();
  write(path, 'CREATE TABLE singles(x)');
  await node.database.sync();
  for (const [i, step] of STEPS.entries()) {
    write(path, step);
    const { txid } = await node.database.sync();
    states.set(txid, contentOf(path));
    if (i === 6) await node.event('snapshot_created');
  }
  // More than the single transactions that the upkeep leaves in any case.
  for (let i = 0; i < SINGLES; i++) {
    write(path, `INSERT INTO singles VALUES (${i})`);
    const { txid } = await node.database.sync();
    states.set(txid, contentOf(path));
  }
  await node.database.stop();
  const rig = await LitestreamRig.open(cluster.nats, `test_${app}_wal`);
  const entries = await rig.log.all();
  expect(entries.filter(({ level }) => level === 9).length).toBeGreaterThan(0);
  expect(new Set(entries.map(({ walEnd }) => walEnd?.salt1)).size).toBeGreaterThan(3);
  return { rig, states, end: (await rig.log.end())?.position.txid ?? 0 };
}

/** Both tools come to one result; where it is a file, it is the database of that transaction. */
async function compared(
  { rig, states, end }: Written,
  binary: string,
  targets: readonly RestoreTarget[],
): Promise<number> {
  let restored = 0;
  for (const target of [undefined, ...targets]) {
    const [theirs, ours] = [await rig.theirs(binary, target), await rig.ours(target)];
    if ('failed' in theirs || 'failed' in ours) {
      expect({ target, theirs, ours }).toMatchObject({ theirs: { failed: /./ }, ours: { failed: /./ } });
      continue;
    }
    expect({ target, sha: theirs.sha }).toEqual({ target, sha: ours.sha });
    const txid = target === undefined ? end : 'txid' in target ? target.txid : 0;
    const content = states.get(txid);
    if (content !== undefined) expect({ txid, content: contentOf(theirs.path) }).toEqual({ txid, content });
    restored++;
  }
  return restored;
}

const at = (...txids: readonly number[]): RestoreTarget[] => txids.map((txid) => ({ txid }));

describe('Litestream restores our bucket', () => {
  let needed: Generation = 'block';

  beforeEach((context) => {
    needed = context.task.name.startsWith('frame') ? 'frame' : 'block';
    const reason = binaries.missing.get(needed);
    if (reason !== undefined) context.skip(reason);
  });

  test.each([
    ['block', 'block', 512],
    ['block', 'block', 4096],
    ['block', 'block', 65536],
    ['block', 'frame', 4096],
    ['frame', 'frame', 512],
    ['frame', 'frame', 4096],
    ['frame', 'frame', 65536],
  ] as const)('%s generation, %s pages of %i bytes', async (generation, encoding, pageSize) => {
    const binary = binaries.paths.get(generation) as string;
    const log = await written(`${generation}${encoding}${pageSize}`, pageSize, encoding);
    await using rig = log.rig;
    const moment = { timestamp: (await rig.log.entry(8))?.timestamp ?? 0 };
    expect(await compared(log, binary, [...at(1, 3, 6, 8, 9, 12), moment])).toBe(8);

    const kept = await keep(rig, encoding);
    const ends = (level: number): number[] =>
      kept.filter((entry) => entry.level === level).map((entry) => entry.maxTxid);
    expect(ends(1).length).toBeGreaterThan(1);
    expect(ends(2).length).toBeGreaterThan(1);
    const first = kept.find(({ level }) => level === 0)?.minTxid ?? 0;
    expect(first).toBeGreaterThan(1);
    const chosen = new Set([ends(1)[0], ends(1)[1], ends(2)[0], ends(2)[1], log.end] as number[]);
    expect(await compared(log, binary, at(...chosen))).toBe(chosen.size + 1);
    // What a merge reaches over can't be restored by itself once it is gone.
    const images = ends(9);
    const within = kept.find(
      ({ level, minTxid, maxTxid }) => level === 1 && minTxid < maxTxid && maxTxid < first && !images.includes(minTxid),
    );
    expect(within).toBeDefined();
    expect(await compared(log, binary, at(within?.minTxid ?? 0))).toBe(1);
  });

  test('frame generation does not read block pages: what the option is for', async () => {
    const log = await written('oldreader', 4096, 'block');
    await using rig = log.rig;
    expect(await rig.theirs(binaries.paths.get('frame') as string)).toMatchObject({ failed: expect.any(String) });
  });
});
