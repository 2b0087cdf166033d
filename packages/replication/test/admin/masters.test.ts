/** Operations on real masters, on a log in memory. */
import type { Clock } from '@canopy/core';
import { MemoryNats } from '@canopy/nats/memory';
import { MemoryLog, MultiMasterManager, ReplicationAdmin, serveReplication } from '@canopy/replication';
import { expect, it, onTestFinished } from 'vitest';
import { Disk } from '../multi-master/disk.ts';
import { passingTime } from '../passing-time.ts';

const namespace = 'carts';

async function until(clock: Clock, holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1000 && !(await holds()); i++) await clock.sleep(10);
  expect(await holds()).toBe(true);
}

it('conflicts are seen and decided from outside; members, lag, hot entities and clocks', async () => {
  const env = passingTime();
  const hub = new MemoryNats({ clock: env.clock });
  const log = new MemoryLog(namespace, { clock: env.clock });
  const master = async (masterId: string) => {
    const config = {
      pipeline: log.connect(masterId),
      stateManager: new Disk().open(),
      conflictStrategy: 'manual',
    } as const;
    const manager = new MultiMasterManager({ masterId, ...config }, env);
    onTestFinished(() => manager.close());
    await manager.subscribe();
    const responder = await serveReplication({ bus: hub.session().bus, namespace, manager }, env);
    onTestFinished(() => responder.stop());
    return { manager, responder };
  };
  const [eu, us] = [await master('eu'), await master('us')];
  const managers = [eu.manager, us.manager];
  // In one turn: neither can have seen the other's.
  await Promise.all([
    eu.manager.write('cart-7', { items: ['milk'] }),
    us.manager.write('cart-7', { items: ['bread'] }),
  ]);
  await until(
    env.clock,
    async () => (await us.manager.getPendingConflicts()).length + (await eu.manager.getPendingConflicts()).length === 2,
  );

  const admin = new ReplicationAdmin({ bus: hub.session().bus, namespace, timeoutMs: 5000 }, env);
  const status = await admin.status();
  expect(status.nodes.map(({ node }) => node)).toEqual(['eu', 'us']);
  expect(status.findings.map(({ code, node }) => [code, node])).toEqual([
    ['conflicts_pending', 'eu'],
    ['conflicts_pending', 'us'],
  ]);
  expect(status.lag.map(({ behind }) => behind)).toEqual([0, 0]);
  const { conflicts } = await admin.conflicts();
  expect(conflicts).toMatchObject([{ entityId: 'cart-7', pendingOn: ['eu', 'us'], pending: true }]);
  expect(conflicts[0]?.versions.map(({ masterId }) => masterId).sort()).toEqual(['eu', 'us']);
  expect((await admin.hot()).entities).toMatchObject([{ entityId: 'cart-7', conflicts: 1 }]);

  expect(await admin.resolve('cart-7', { pick: 'us' })).toMatchObject({ data: { items: ['bread'] } });
  const settled = async (): Promise<boolean> => {
    const pending = await Promise.all(managers.map((manager) => manager.getPendingConflicts()));
    return pending.every((list) => list.length === 0);
  };
  await until(env.clock, settled);
  for (const manager of managers) expect((await manager.getEntity('cart-7'))?.data).toEqual({ items: ['bread'] });

  const { rows, findings } = await admin.clockReport();
  expect(findings).toEqual([]);
  expect(rows.map(({ node, rejected }) => [node, rejected])).toEqual([
    ['eu', 0],
    ['us', 0],
  ]);
  expect(await admin.recover('eu', { mode: 'resync' })).toMatchObject({ state: 'done', mode: 'resync' });
  expect(await admin.recover('eu')).toMatchObject({ state: 'done', mode: 'rebuild' });
  expect((await eu.manager.getEntity('cart-7'))?.data).toEqual({ items: ['bread'] });
  await us.responder.stop();
  await us.manager.close();
  const soon = new ReplicationAdmin({ bus: hub.session().bus, namespace, timeoutMs: 1500 }, env);
  expect((await soon.status()).silent).toEqual(['us']);
  await admin.removeMember('us');
  await until(env.clock, async () => (await admin.status()).silent.length === 0);
});
