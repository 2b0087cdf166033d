/** What a platform must do, on whichever NATS: run on the memory twin as a unit test, on a real server as an integration test. */
import type { NatsSession } from '@canopy/nats';
import { eventually } from '@canopy/testkit';
import { describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control/client.ts';
import { TestCluster } from './cluster.ts';

export function platformSuite(connect: () => Promise<NatsSession>): void {
  describe('three nodes', () => {
    it('elect one that serves; all proxies lead to it; writes are in the log before they are answered', async () => {
      await using cluster = await TestCluster.open(connect);
      const nodes = [await cluster.started('n1'), await cluster.started('n2'), await cluster.started('n3')];
      const active = await cluster.serving();
      for (const [i, node] of nodes.entries()) {
        expect(await cluster.send(node, 'POST', `t${i}`)).toEqual({ status: 200, text: active.platform.node });
        expect(cluster.log.entries).toContain(`t${i}`);
      }
      expect(active.app.status().timeline.map(({ event }) => event)).toEqual([
        'elected',
        'caught_up',
        'claimed',
        'verified',
        'promoted',
        'activated',
        'backend_started',
        'serving',
      ]);
      expect(appHooks(active.hooks)).toEqual(['start', 'standby', 'active']);
      const others = nodes.filter((node) => node !== active);
      expect(others.map((node) => node.app.role)).toEqual(['standby', 'standby']);
      expect(others.every((node) => !node.backends.latest.isRunning)).toBe(true);
    });

    it('answer a sync over HTTP wherever it is asked for', async () => {
      await using cluster = await TestCluster.open(connect);
      const nodes = [await cluster.started('n1'), await cluster.started('n2')];
      const active = await cluster.serving();
      for (const { platform } of nodes) {
        const sync = await fetch(`${platform.httpAddress}/apps/ledger/sync?timeout=5s`, { method: 'POST' });
        expect([sync.status, await sync.json()]).toEqual([
          200,
          expect.objectContaining({
            app: 'ledger',
            node: active.platform.node,
            position: expect.stringMatching(/^\d+\./),
          }),
        ]);
        const other = await fetch(`${platform.httpAddress}/apps/nothing/sync`, { method: 'POST' });
        expect([other.status, await other.json()]).toMatchObject([404, { error: { code: 'APP_UNKNOWN' } }]);
      }
    });

    it('hand over on purpose without losing or failing a request', async () => {
      await using cluster = await TestCluster.open(connect);
      for (const id of ['n1', 'n2', 'n3']) await cluster.started(id);
      const first = await cluster.serving();
      const sent: string[] = [];
      const failures: string[] = [];
      const stop = new AbortController();
      const load = cluster.nodes.map(async (node, n) => {
        for (let i = 0; !stop.signal.aborted; i++) {
          const { status, text } = await cluster.send(node, 'POST', `${n}-${i}`);
          if (status === 200) sent.push(`${n}-${i}`);
          else failures.push(`${status} ${text}`);
        }
      });
      await eventually(() => sent.length > 30);
      await first.app.stepDown();
      const second = await cluster.serving(first);
      const before = sent.length;
      await eventually(() => sent.length > before + 30);
      stop.abort();
      await Promise.all(load);
      expect(failures).toEqual([]);
      expect([...cluster.log.entries].sort()).toEqual([...sent].sort());
      expect(second.app.epoch).toBeGreaterThan(1);
      expect(first.app.role).toBe('standby');
      const events = first.app.status().timeline.map(({ event }) => event);
      expect(events.slice(events.indexOf('stepping_down'))).toEqual(
        expect.arrayContaining([
          'stepping_down',
          'gate_closed',
          'backend_stopped',
          'deactivated',
          'shipped',
          'given_up',
        ]),
      );
      // The hooks of the old role have ended before the new one's began, and the backend went before the database.
      expect(appHooks(first.hooks)).toContain('passive');
      expect(appHooks(first.hooks).indexOf('passive')).toBeLessThan(first.hooks.lastIndexOf('standby'));
      expect(first.databases.latest.calls).toEqual(['start', 'promote', 'demote', 'demoted']);
    });

    it('hand over to the node that is named, and to no other', async () => {
      await using cluster = await TestCluster.open(connect);
      for (const id of ['n1', 'n2', 'n3']) await cluster.started(id);
      const first = await cluster.serving();
      const to = cluster.nodes.findLast((node) => node !== first);
      const target = to?.platform.node as string;
      const seen = () =>
        first.platform.members().find(({ record }) => record.id === target)?.record.apps['ledger']?.role;
      await eventually(() => seen() === 'standby');
      await expect(first.app.handoff('nobody')).rejects.toMatchObject({ code: 'HANDOFF_TARGET_INVALID' });
      await expect(first.app.handoff(first.platform.node)).rejects.toMatchObject({ code: 'HANDOFF_TARGET_INVALID' });
      await expect(to?.app.stepDown()).rejects.toMatchObject({ code: 'APP_NOT_ACTIVE' });
      await first.app.handoff(target);
      expect((await cluster.serving(first)).platform.node).toBe(target);
    });

    it('go on when the active one loses its connection for good', async () => {
      await using cluster = await TestCluster.open(connect, { ttl: 600 });
      for (const id of ['n1', 'n2', 'n3']) await cluster.started(id);
      const first = await cluster.serving();
      const epoch = first.app.epoch as number;
      await cluster.send(first, 'POST', 'before');
      await first.session.close();
      const second = await cluster.serving(first);
      expect(second.app.epoch).toBeGreaterThan(epoch);
      expect(await cluster.send(second, 'POST', 'after')).toMatchObject({ status: 200 });
      expect(cluster.log.entries).toEqual(['before', 'after']);
      await first.platform.closed;
      expect(first.backends.latest.isRunning).toBe(false);
      expect(second.app.status().timeline.map(({ event }) => event)).toContain('lost');
      await eventually(() => second.platform.members().some((member) => member.health === 'gone'));
    });

    it('answer control requests', async () => {
      await using cluster = await TestCluster.open(connect);
      for (const id of ['n1', 'n2', 'n3']) await cluster.started(id);
      const active = await cluster.serving();
      const client = new ControlClient(active.session, 'test');
      await eventually(async () => (await client.members()).length === 3);
      expect((await client.members()).map(({ id, health }) => [id, health])).toEqual([
        ['n1', 'alive'],
        ['n2', 'alive'],
        ['n3', 'alive'],
      ]);
      expect(await client.apps()).toEqual(['ledger']);
      const overview = await client.appStatus('ledger');
      expect(overview).toMatchObject({ app: 'ledger', active: active.platform.node, epoch: active.app.epoch });
      expect(overview.instances.map(({ status }) => status?.role).sort()).toEqual(['active', 'standby', 'standby']);
      expect(await client.nodeStatus('n2')).toMatchObject({ node: 'n2', state: 'running', nats: { connected: true } });
      expect((await client.timeline('ledger', active.platform.node)).map(({ event }) => event)).toContain('serving');
      expect((await client.databaseStatus('ledger')).map(({ database }) => database?.kind)).toEqual(
        Array(3).fill('fake'),
      );
      await expect(client.nodeStatus('n9')).rejects.toMatchObject({ code: 'NODE_UNREACHABLE' });
      await expect(client.appStatus('other')).rejects.toMatchObject({ code: 'APP_UNKNOWN' });
      await expect(client.stepdown('ledger', { to: 'n9' })).rejects.toMatchObject({ code: 'HANDOFF_TARGET_INVALID' });
      const standby = cluster.nodes.find((node) => node !== active)?.platform.node as string;
      const records = async () => (await client.records()).find(({ id }) => id === standby)?.apps['ledger']?.role;
      await eventually(async () => (await records()) === 'standby');
      expect(await client.stepdown('ledger', { to: standby })).toMatchObject({
        app: 'ledger',
        from: active.platform.node,
        ms: expect.any(Number),
      });
      expect((await cluster.serving(active)).platform.node).toBe(standby);
    });
  });

  describe('one node', () => {
    it('tells about itself over HTTP', async () => {
      await using cluster = await TestCluster.open(connect);
      const node = await cluster.started('n1');
      await cluster.serving();
      const at = node.platform.httpAddress;
      const get = async (path: string) => {
        const response = await fetch(`${at}${path}`);
        return { status: response.status, text: await response.text() };
      };
      expect(await get('/health')).toMatchObject({ status: 200 });
      await eventually(async () => (await get('/ready')).status === 200);
      expect(JSON.parse((await get('/status')).text)).toMatchObject({
        platform: 'test',
        node: 'n1',
        apps: {
          ledger: { role: 'active', serving: true, database: { role: 'primary' }, backend: { state: 'running' } },
        },
      });
      const metrics = (await get('/metrics')).text;
      expect(metrics).toMatch(/^gc_app_serving\{app="ledger"\} 1$/m);
      expect(metrics).toMatch(/^gc_members\{health="alive"\} \d$/m);
      expect(metrics).toMatch(/^process_resident_memory_bytes \d+/m);
      expect((await get('/nothing')).status).toBe(404);
      expect((await fetch(`${at}/status`, { method: 'POST' })).status).toBe(405);
    });

    it('leaves cleanly: steps down, runs its hooks, removes its record', async () => {
      await using cluster = await TestCluster.open(connect);
      const node = await cluster.started('n1');
      await cluster.serving();
      await node.platform.stop();
      expect(appHooks(node.hooks)).toEqual(['start', 'standby', 'active', 'passive', 'standby', 'stop']);
      expect(node.backends.latest.isRunning).toBe(false);
      expect(node.databases.latest.calls.at(-1)).toBe('stop');
      const session = await connect();
      expect(await new ControlClient(session, 'test').records()).toEqual([]);
      await session.close();
    });

    it('undoes a promotion whose backend does not start, rests, and tries again', async () => {
      await using cluster = await TestCluster.open(connect, { ttl: 600 });
      const node = await cluster.node('n1');
      node.platform.app; // The backend is made at start; break its first start.
      const open = node.backends.open.bind(node.backends);
      node.backends.open = (context) => {
        const backend = open(context);
        node.backends.latest.startError = new Error('command not found');
        return backend;
      };
      await node.platform.start();
      await eventually(() => node.app.status().failures === 1);
      const status = node.app.status();
      expect(status).toMatchObject({ role: 'standby', serving: false });
      expect(status.problem).toContain('command not found');
      expect(status.heldOffMs).toBeGreaterThan(0);
      expect(node.databases.latest.calls).toEqual(['start', 'promote', 'demote', 'demoted']);
      expect(appHooks(node.hooks)).toContain('passive');
      node.backends.latest.startError = undefined;
      await cluster.serving();
      expect(node.app.epoch).toBeGreaterThan(1);
      expect(node.app.status().problem).toBeUndefined();
    });
  });

  describe('a node whose database is not settled', () => {
    it('does not stand for election; it does as soon as the database is', async () => {
      await using cluster = await TestCluster.open(connect);
      const first = await cluster.node('n1');
      first.databases.startRole = 'opening';
      await first.platform.start();
      first.databases.latest.become('opening', 'the log has a gap');
      expect(first.app.role).toBe('starting');
      expect(first.app.status().problem).toBe('the database is opening: the log has a gap');
      await expect(fetch(`${first.platform.httpAddress}/ready`)).resolves.toMatchObject({ status: 503 });
      const second = await cluster.started('n2');
      expect(await cluster.serving()).toBe(second);
      const shown = () => second.platform.members().find(({ record }) => record.id === 'n1')?.record.apps['ledger'];
      await eventually(() => shown()?.problem?.includes('the log has a gap'));
      expect(shown()).not.toHaveProperty('lagMs');
      await expect(second.app.handoff('n1')).rejects.toThrow(/starting \(the database is opening: the log has a gap\)/);
      expect(first.app.status().timeline.map(({ event }) => event)).not.toContain('elected');
      first.databases.latest.become('standby');
      expect(first.app.role).toBe('standby');
      await eventually(() => shown()?.role === 'standby');
      await second.app.handoff('n1');
      expect(await cluster.serving(second)).toBe(first);
      expect(first.app.status().problem).toBeUndefined();
    });

    it('withdraws when that begins while it follows', async () => {
      await using cluster = await TestCluster.open(connect);
      const first = await cluster.started('n1');
      await cluster.serving();
      const second = await cluster.started('n2');
      const third = await cluster.started('n3');
      second.databases.latest.become('opening', 'rebuilding');
      await eventually(() => second.app.status().election?.state === 'stopped');
      await first.app.stepDown();
      expect(await cluster.serving(first)).toBe(third);
      second.databases.latest.become('standby');
      await eventually(() => second.app.status().election?.state === 'follower');
      expect(second.app.leader).toBe('n3');
    });
  });

  describe('what breaks on the active node', () => {
    it.each(['backend', 'database'] as const)('its %s: another node takes over', async (part) => {
      await using cluster = await TestCluster.open(connect);
      for (const id of ['n1', 'n2']) await cluster.started(id);
      const first = await cluster.serving();
      await cluster.send(first, 'POST', 'kept');
      if (part === 'backend') first.backends.latest.break(new Error('crashed too often'));
      else first.databases.latest.break(new Error('disk full'));
      const second = await cluster.serving(first);
      expect(await cluster.send(first, 'POST', 'after')).toEqual({ status: 200, text: second.platform.node });
      expect(cluster.log.entries).toEqual(['kept', 'after']);
      expect(first.app.status().failures).toBe(1);
      expect(first.backends.latest.isRunning).toBe(false);
      // A broken database is opened anew, and follows.
      if (part === 'database')
        await eventually(() => first.databases.opened.length === 2 && first.app.role === 'standby');
    });

    it('its database, which takes long to follow again: it does not stand until then', async () => {
      await using cluster = await TestCluster.open(connect);
      const first = await cluster.started('n1');
      await cluster.serving();
      const second = await cluster.started('n2');
      const reader = Promise.withResolvers<void>();
      first.databases.latest.afterShipped = () => reader.promise;
      await first.app.stepDown();
      expect(await cluster.serving(first)).toBe(second);
      expect(first.app.role).toBe('demoting');
      await eventually(() => first.app.status().election?.state === 'stopped');
      const shown = () => second.platform.members().find(({ record }) => record.id === 'n1')?.record.apps['ledger'];
      await eventually(() => shown()?.role === 'demoting');
      expect(shown()?.problem).toContain('the database is demoting');
      await expect(second.app.handoff('n1')).rejects.toMatchObject({
        code: 'HANDOFF_TARGET_INVALID',
        message: expect.stringContaining('the database is demoting'),
      });
      // Its proxy still knows the way.
      expect(await cluster.send(first, 'POST', 'through n1')).toEqual({ status: 200, text: 'n2' });
      expect(first.app.leader).toBe('n2');
      await second.app.stepDown();
      await cluster.serving();
      expect(second.app.serving).toBe(true);
      reader.resolve();
      await eventually(() => first.app.role === 'standby' && shown()?.role === 'standby');
      await second.app.handoff('n1');
      expect(await cluster.serving(second)).toBe(first);
    });

    it('its place in the log: the write is not acknowledged, and it steps down', async () => {
      await using cluster = await TestCluster.open(connect);
      const first = await cluster.started('n1');
      await cluster.serving();
      cluster.log.epoch = (cluster.log.epoch + 1) as typeof cluster.log.epoch;
      expect(await cluster.send(first, 'POST', 'divergent')).toMatchObject({ status: 503 });
      await eventually(() => first.app.status().timeline.some(({ event }) => event === 'fenced'));
      await eventually(() => first.app.status().failures > 0);
      expect(cluster.log.entries).toEqual([]);
    });
  });
}

/** What an app's hooks heard, without the epochs: those begin wherever the bucket does. */
function appHooks(hooks: readonly string[]): string[] {
  return hooks.filter((hook) => !hook.startsWith('leader')).map((hook) => hook.replace(/ \d+$/, ''));
}
