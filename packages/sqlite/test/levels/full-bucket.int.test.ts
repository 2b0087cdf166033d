/** A log whose bucket has a byte limit: nothing is lost when it is reached, and it goes on when there is room. */
import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { eventually } from '@canopy/testkit';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rowsOf, TestCluster, write } from '../database/cluster.ts';

const MIB = 1024 * 1024;

let cluster: TestCluster;
let session: NatsSession;

beforeAll(async () => {
  cluster = await TestCluster.start();
  session = await connectNats(cluster.connection, { name: 'test', env: systemEnv() });
});

afterAll(async () => {
  await session.close();
  await cluster[Symbol.asyncDispose]();
});

/** Changes the stream behind a bucket, as an operator would. */
async function edit(bucket: string, changes: Record<string, unknown>): Promise<void> {
  const nc = await connect({ servers: cluster.nats.url });
  try {
    const name = `OBJ_${bucket}`;
    const info = JSON.parse((await nc.request(`$JS.API.STREAM.INFO.${name}`)).string()) as { config: object };
    const config = JSON.stringify({ ...info.config, ...changes });
    const answer = (await nc.request(`$JS.API.STREAM.UPDATE.${name}`, config)).json() as { error?: unknown };
    if (answer.error !== undefined) throw new Error(JSON.stringify(answer.error));
  } finally {
    await nc.close();
  }
}

describe('a full bucket', () => {
  test('commits stay here and it says so; with more room it goes on by itself', { timeout: 60_000 }, async () => {
    await session.ensureBlobs('test_full_wal', { maxBytes: 2 * MIB });
    const node = cluster.node('full1', { compactionLevels: [] }, { app: 'full' });
    const standby = cluster.node('full2', {}, { app: 'full' });
    await node.database.start();
    await node.promote(1);
    await standby.database.start();
    write(node.path, 'CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)');
    let rows = 0;
    let refused: unknown;
    while (refused === undefined) {
      expect(rows).toBeLessThan(200);
      write(node.path, 'INSERT INTO t (body) VALUES (randomblob(60000))');
      rows++;
      refused = await node.database.sync().then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    expect(refused).toMatchObject({ code: 'BUCKET_FULL' });
    expect(node.database.status()).toMatchObject({ role: 'primary' });
    expect(node.database.status().problem).toContain('has reached its size limit');
    write(node.path, 'INSERT INTO t (body) VALUES (randomblob(60000))');
    rows++;
    expect(standby.database.status().role).toBe('standby');
    await edit('test_full_wal', { max_bytes: 20 * MIB });
    const position = await eventually(() => node.database.sync().catch(() => undefined), { what: 'shipping again' });
    await standby.database.waitFor(position as never);
    expect(rowsOf(standby.path, 'SELECT count(*) AS n FROM t')).toEqual([{ n: rows }]);
    await eventually(() => node.database.status().problem === undefined);
    await Promise.all([node.database.stop(), standby.database.stop()]);
  });

  test('merging makes room: a small bucket takes several times its size', { timeout: 240_000 }, async () => {
    // Many times what is written between two merges: until the first one there is nothing that may be deleted.
    await session.ensureBlobs('test_tight_wal', { maxBytes: 8 * MIB });
    const options = { compactionLevels: ['1s'], keepSegments: '1h' } as const;
    const node = cluster.node('tight', options, { app: 'tight' });
    await node.database.start();
    await node.promote(1);
    write(node.path, 'CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)', 'INSERT INTO t VALUES (1, zeroblob(60000))');
    let shipped = 0;
    // Twice what it holds; a bucket that stays full never gets there.
    while (shipped < 270) {
      write(node.path, 'UPDATE t SET body = randomblob(60000)');
      const isShipped = await node.database.sync().then(
        () => true,
        () => false,
      );
      if (isShipped) shipped++;
      await new Promise((resolve) => setTimeout(resolve, isShipped ? 25 : 200));
    }
    expect((await (await session.blobs('test_tight_wal')).bucketInfo()).bytes).toBeLessThan(8 * MIB);
    await node.database.stop();
  });
});

describe('settings that lose data', () => {
  test('are a problem with a code and a hint', { timeout: 30_000 }, async () => {
    const before = cluster.node('settings', {}, { app: 'settings' });
    await before.database.start();
    await before.promote(1);
    await before.database.stop();
    expect(before.events).toContainEqual(expect.objectContaining({ type: 'warning', code: 'LOG_NOT_REPLICATED' }));
    await edit('test_settings_wal', { max_age: 86_400_000_000_000, discard: 'old', max_bytes: 1024 * MIB });
    const after = cluster.node('settings', {}, { app: 'settings' });
    await after.database.start();
    const { warnings = [], problem } = after.database.status();
    expect(warnings.map(({ code }) => code)).toEqual(['LOG_EXPIRES', 'LOG_DISCARDS_OLD', 'LOG_NOT_REPLICATED']);
    expect(problem).toContain('drops objects after');
    expect(warnings[0]?.hint).toContain('nats stream edit OBJ_test_settings_wal --max-age=0');
    await after.database.stop();
  });
});
