import { type Promotable, systemEnv } from '@canopy/core';
import { MemoryNats } from '@canopy/nats/memory';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control/client.ts';
import { TestCluster, type TestNode } from './cluster.ts';

let cluster: TestCluster;
let nodes: TestNode[];
let client: ControlClient;
beforeEach(async () => {
  const nats = new MemoryNats();
  cluster = await TestCluster.open(async () => nats.session({ env: systemEnv() }));
  nodes = [await cluster.started('n1'), await cluster.started('n2')];
  client = new ControlClient(nodes[0]?.session as never, 'test');
});
afterEach(() => cluster[Symbol.asyncDispose]());

describe('control requests about a database', () => {
  it('are answered by the primary; a standby refuses and names it', async () => {
    const primary = await cluster.serving();
    const standby = nodes.find((node) => node !== primary) as TestNode;
    const asked: object[] = [];
    const database: Promotable = primary.databases.latest;
    database.admin = async (request) => {
      asked.push(request);
      return request.op === 'snapshot.list' ? [] : { id: 's' };
    };
    expect(await client.databases.sync('ledger')).toMatchObject({
      node: primary.platform.node,
      position: expect.any(String),
    });
    expect(await client.databases.createSnapshot('ledger', { name: 's' })).toEqual({ id: 's' });
    expect(await client.databases.listSnapshots('ledger')).toEqual([]);
    expect(asked).toEqual([{ op: 'snapshot.create', name: 's' }, { op: 'snapshot.list' }]);
    const refusal = { code: 'APP_DB_NOT_PRIMARY', fields: { leader: primary.platform.node } };
    await expect(standby.app.wal.sync()).rejects.toMatchObject(refusal);
    expect(() => standby.app.db()).toThrow(expect.objectContaining({ code: 'APP_DB_NOT_PRIMARY' }));
    await expect(standby.app.snapshots.create()).rejects.toMatchObject({ code: 'APP_DB_UNSUPPORTED' });
  });

  it('with something that is none is refused before the database hears of it', async () => {
    const primary = await cluster.serving();
    await expect(client.databases.sync('ledger', { applied: 1.5 })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    await expect(client.databases.deleteSnapshot('ledger', 5 as never)).rejects.toMatchObject({
      code: 'CONTROL_REQUEST_INVALID',
    });
    const node = primary.platform.node;
    const piece = client.databases.changes('ledger', node, 7 as never);
    await expect(piece.next()).rejects.toMatchObject({ code: 'CONTROL_REQUEST_INVALID' });
    await expect(client.databases.deleteDivergence('ledger', node, 'x')).rejects.toMatchObject({
      code: 'APP_DB_UNSUPPORTED',
    });
  });
});
