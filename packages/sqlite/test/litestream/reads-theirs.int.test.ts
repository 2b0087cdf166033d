/** Our restore on a bucket that Litestream wrote and compacted: the same bytes as its own, at the end and at transactions. */
import { join } from 'node:path';
import { eventually, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { write } from '../database/cluster.ts';
import { BUILD_TIMEOUT_MS, type Generation, type LitestreamBinaries, litestreamBinaries } from './binaries.ts';
import { contentOf, LitestreamRig } from './rig.ts';
import { createDatabase, STEPS } from './workload.ts';

/** Short enough for two levels and a snapshot within the test; level 0 stays, or goes as soon as it is covered. */
const KEEPING = { levels: ['1s', '2s'], snapshot: '2s', l0Retention: '1h' };
const CLEANING = { ...KEEPING, l0Retention: '1s' };

let binaries: LitestreamBinaries;
let nats: TestNatsServer;

beforeAll(
  async () => {
    binaries = await litestreamBinaries();
    nats = await testNatsServer();
  },
  2 * BUILD_TIMEOUT_MS + 60_000,
);

afterAll(() => nats[Symbol.asyncDispose]());

const endOf = async ({ log }: LitestreamRig): Promise<number> => (await log.end())?.position.txid ?? 0;

/** Both tools come to one result at the end and at each transaction. Returns how often it was a file. */
async function compared(rig: LitestreamRig, binary: string, txids: readonly number[]): Promise<number> {
  let restored = 0;
  for (const target of [undefined, ...txids.map((txid) => ({ txid }))]) {
    const [theirs, ours] = [await rig.theirs(binary, target), await rig.ours(target)];
    if ('sha' in theirs && 'sha' in ours) {
      expect({ target, sha: ours.sha }).toEqual({ target, sha: theirs.sha });
      restored++;
    } else expect({ target, theirs, ours }).toMatchObject({ theirs: { failed: /./ }, ours: { failed: /./ } });
  }
  return restored;
}

describe('we restore a bucket of Litestream', () => {
  beforeEach((context) => {
    const reason = binaries.missing.get(context.task.name.startsWith('frame') ? 'frame' : 'block');
    if (reason !== undefined) context.skip(reason);
  });

  test.each([
    ['block', 4096],
    ['frame', 512],
    ['block', 65536],
  ] as const)('%s generation, pages of %i bytes', async (generation: Generation, pageSize) => {
    const binary = binaries.paths.get(generation) as string;
    await using rig = await LitestreamRig.open(nats, `theirs_${generation}_${pageSize}`);
    const path = join(rig.directory, 'app.db');
    createDatabase(path, pageSize);
    write(path, 'PRAGMA journal_mode = WAL');
    const levels = async (): Promise<string> =>
      [...new Set((await rig.log.all()).map(({ level }) => level))].sort().join();

    const running = rig.replicate(binary, path, KEEPING);
    await eventually(async () => (await endOf(rig)) > 0, { what: 'its first transaction' });
    for (const step of STEPS) {
      const before = await endOf(rig);
      write(path, step);
      const what = `a transaction behind ${before}; ${running.output}`;
      await eventually(async () => (await endOf(rig)) > before, { what });
    }
    await eventually(async () => (await levels()) === '0,1,2,9', { what: `all levels; ${running.output}` });
    await running.stop();
    const ours = await rig.ours();
    expect('sha' in ours && contentOf(ours.path)).toBe(contentOf(path));
    const some = Array.from({ length: await endOf(rig) }, (_, i) => i + 1).filter((txid) => txid % 2 === 0);
    expect(await compared(rig, binary, some)).toBe(some.length + 1);

    const cleaning = rig.replicate(binary, path, CLEANING);
    await eventually(async () => (await rig.log.entry(5)) === undefined, { what: `cleaning up; ${cleaning.output}` });
    await cleaning.stop();
    expect(await compared(rig, binary, some.slice(-4))).toBeGreaterThan(0);
  });
});
