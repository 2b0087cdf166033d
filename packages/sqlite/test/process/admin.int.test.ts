/** Administration of an open database, in its own process, with a real log. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Position } from '@canopy/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChangesPiece, DivergenceSummary } from '../../src/index.ts';
import { rowsOf, TestCluster, type TestNode, write } from '../database/cluster.ts';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(() => cluster[Symbol.asyncDispose]());

const ask = (node: TestNode, op: string, argument: object = {}): Promise<unknown> =>
  node.database.admin?.({ op, ...argument }) ?? Promise.reject(new Error('no admin'));

async function primaryWith(rows: number): Promise<{ node: TestNode; position: Position }> {
  const node = await cluster.started('a');
  await node.promote(1);
  write(node.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  for (let id = 1; id <= rows; id++) write(node.path, `INSERT INTO t VALUES (${id}, randomblob(20000))`);
  return { node, position: await node.database.sync() };
}

describe('a restore that is asked of the database', () => {
  it('of a snapshot, a position, and the end: the file is there and complete, the live one untouched', async () => {
    const { node, position } = await primaryWith(3);
    await ask(node, 'snapshot.create', { name: 'three' });
    write(node.path, 'DELETE FROM t WHERE id = 1');
    await node.database.sync();
    const seen: number[] = [];
    const dest = (name: string): string => join(cluster.directory.path, name);
    const onProgress = ({ doneBytes }: { doneBytes: number }): void => void seen.push(doneBytes);
    const restored = await ask(node, 'restore', { id: 'three', dest: dest('s.db'), onProgress });
    expect(restored).toMatchObject({ dest: dest('s.db'), position, sizeBytes: expect.any(Number) });
    expect(rowsOf(dest('s.db'), 'SELECT id FROM t')).toHaveLength(3);
    expect(seen.at(-1)).toBeGreaterThan(0);
    await ask(node, 'restore', { ...position, dest: dest('p.db') });
    expect(rowsOf(dest('p.db'), 'SELECT id FROM t')).toHaveLength(3);
    await ask(node, 'restore', { dest: dest('end.db') });
    expect(rowsOf(dest('end.db'), 'SELECT id FROM t')).toHaveLength(2);
  });

  it('that cannot be done leaves nothing behind, and says why', async () => {
    const { node, position } = await primaryWith(1);
    const dest = join(cluster.directory.path, 'r.db');
    const refused = async (argument: object, code: string): Promise<void> => {
      await expect(ask(node, 'restore', { dest, ...argument }), code).rejects.toMatchObject({ code });
    };
    await refused({ id: 'none' }, 'SQLITE_SNAPSHOT_MISSING');
    await refused({ ...position, epoch: 9 }, 'SQLITE_POSITION_UNKNOWN');
    await refused({ txid: position.txid + 100 }, 'SQLITE_TARGET_UNREACHABLE');
    await refused({ dest: node.path }, 'SQLITE_DESTINATION_EXISTS');
    await refused({ dest: 'relative.db' }, 'OPTIONS_INVALID');
    await refused({ id: 'a', txid: 1 }, 'OPTIONS_INVALID');
    const stop = AbortSignal.abort(new Error('enough'));
    await expect(node.database.admin?.({ op: 'restore', dest }, { signal: stop })).rejects.toThrow('enough');
    expect(readdirSync(cluster.directory.path).filter((name) => name.startsWith('r.db'))).toEqual([]);
  });
});

describe('what a former primary has kept', () => {
  it('is listed with its rows and its size, read in pieces, deleted, and then no longer in the status', async () => {
    const { node } = await primaryWith(2);
    const b = await cluster.started('b');
    await b.database.waitFor(node.database.status().position);
    await b.promote(2);
    write(b.path, 'INSERT INTO t VALUES (10, 1)');
    await b.database.sync();
    write(node.path, "INSERT INTO t VALUES (20, 'lost')", "UPDATE t SET x = 'mine' WHERE id = 1");
    await node.database.demote().catch(() => {});
    const { directory } = await node.event('divergence_kept');
    const [kept] = (await ask(node, 'divergence.list')) as [DivergenceSummary];
    expect(kept).toMatchObject({ directory, node: 'a', rows: 2, tables: [{ table: 't', rows: 2 }] });
    expect(kept.sizeBytes).toBeGreaterThan(40_000);
    const piece = (await ask(node, 'divergence.show', { id: kept.id })) as ChangesPiece;
    expect(piece.changes.map(({ change, row }) => [change, row?.id])).toEqual(
      expect.arrayContaining([
        ['insert', 20],
        ['update', 1],
      ]),
    );
    expect(node.database.status().divergences).toEqual([directory]);
    await ask(node, 'divergence.delete', { id: kept.id });
    expect(existsSync(directory)).toBe(false);
    expect(node.database.status().divergences).toEqual([]);
    expect(await ask(b, 'divergence.list')).toEqual([]);
  });
});
