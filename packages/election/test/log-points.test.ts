/** Lines for things that go wrong, each brought about on purpose; the eventful life of an election is in observation.test.ts. */
import type { Kv, NatsSession } from '@canopy/nats';
import { describe, expect, it } from 'vitest';
import { Election, type ElectionOptions } from '../src/index.ts';
import { TTL, World, withWatch } from './world.ts';

const FOREIGN = '{"id":"x","token":"t"}';

function levelOf(world: World, event: string): string | undefined {
  return world.lines.find((line) => line.event === event)?.level;
}

async function bucket(world: World, value?: string): Promise<Kv> {
  const kv = await world.session('maker').ensureKv('elections', { ttlMs: TTL });
  if (value !== undefined) await kv.create('g', new TextEncoder().encode(value));
  return kv;
}

/** A candidate whose watch breaks off each time it begins. */
async function blind(world: World, options: Partial<ElectionOptions> = {}): Promise<Election> {
  const session: NatsSession = world.session('b');
  const kv = await session.ensureKv('elections', { ttlMs: TTL });
  const broken = withWatch(kv, () => {
    throw new Error('no watch today');
  });
  const place = { session, kv: broken, group: 'g', instanceId: 'b', ttl: TTL, jitter: 0 };
  const election = new Election({ ...place, ...options }, world.env('b'));
  await Promise.all([election.start(), world.clock.advance(TTL / 4)]);
  return election;
}

describe('a line tells of', () => {
  it('a key that the first look does not find, or finds empty', async () => {
    const absent = new World();
    const a = await absent.start(absent.make('a'));
    expect(levelOf(absent, 'key_not_found_triggering_reelection')).toBe('debug');
    await absent.stop(a);

    const empty = new World();
    await bucket(empty, '');
    const b = await empty.start(empty.make('b'));
    expect(levelOf(empty, 'key_empty_triggering_reelection')).toBe('debug');
    expect(empty.said('key_not_found_triggering_reelection')).toBe(0);
    await empty.stop(b);
  });

  it('a key that the watch sees deleted or emptied', async () => {
    const world = new World();
    await bucket(world, FOREIGN);
    const b = await world.start(world.make('b'));
    await world.overwrite('');
    await world.clock.advance(10);
    expect(levelOf(world, 'watch_event_key_empty')).toBe('debug');
    expect(world.said('watch_event_key_deleted')).toBe(0);
    const kv = await world.kv();
    await kv.delete('g', (await kv.get('g'))?.revision as number);
    await world.clock.advance(10);
    expect(levelOf(world, 'watch_event_key_deleted')).toBe('debug');
    await world.stop(b);
  });

  it('attempts that fail, once per four in a row', async () => {
    const world = new World();
    let left = 6;
    world.hub.fault = (call) => (call.operation === 'create' && left-- > 0 ? { outcome: 'fail' } : undefined);
    const a = await world.start(world.make('a'));
    await world.clock.advance(5000);
    expect(a.isLeader).toBe(true);
    expect(world.said('acquire_failed')).toBe(6);
    expect(world.said('acquire_retry')).toBe(6);
    const [line, ...more] = world.lines.filter(({ event }) => event === 'acquire_failed_max_retries');
    expect([line?.level, line?.fields.attempts, more]).toEqual(['warn', 4, []]);
    await world.stop(a);
  });

  it('another leader found by looking, while the watch is broken', async () => {
    const world = new World();
    await bucket(world, FOREIGN);
    const b = await blind(world);
    await world.overwrite('{"id":"y","token":"u"}');
    await world.clock.advance(1500);
    expect(b.leaderId).toBe('y');
    for (const event of ['watch_started', 'watch_failed', 'watch_closed', 'leader_changed_periodic_check'])
      expect(world.said(event), event).toBeGreaterThan(0);
    await world.stop(b);
  });

  it('a lease that was taken over, and a token that is no longer ours', async () => {
    const world = new World();
    const b = await blind(world);
    expect(b.isLeader).toBe(true);
    await world.overwrite(FOREIGN);
    const looking = b.validateToken();
    await world.clock.advance(10);
    expect(await looking).toBe(false);
    expect(world.lines.find(({ event }) => event === 'token_validation_failed')?.fields.problem).toBe('token_mismatch');
    await world.clock.advance(1500);
    expect(b.isLeader).toBe(false);
    expect(levelOf(world, 'leadership_taken_over')).toBe('warn');
    expect(levelOf(world, 'demoting_due_to_heartbeat_failure')).toBe('error');
    await world.stop(b);
  });

  it('a connection that stays away, and one that comes back too late', async () => {
    const world = new World();
    const options = { ttl: 30_000, heartbeatInterval: 1000, disconnectGracePeriod: 2000 };
    const a = await world.start(world.make('a', options));
    world.sessions.get('a')?.cut();
    await world.clock.advance(3000);
    expect(levelOf(world, 'demoting_due_to_connection_loss')).toBe('error');
    world.sessions.get('a')?.heal();
    await world.clock.advance(35_000);
    expect(a.isLeader).toBe(true);
    world.sessions.get('a')?.cut();
    await world.overwrite(FOREIGN);
    // The watch would tell first.
    world.hub.fault = (call) => (call.operation === 'deliver' ? { delayMs: 5000 } : undefined);
    world.sessions.get('a')?.heal();
    await world.clock.advance(3000);
    expect(a.isLeader).toBe(false);
    await world.stop(a);
  });

  it('a release that fails, and a takeover that comes too late', async () => {
    const world = new World();
    const a = await world.start(world.make('a', { heartbeatInterval: 300 }));
    world.hub.fault = (call) => (call.session === 'b' && call.operation === 'update' ? { delayMs: 350 } : undefined);
    const b = await world.start(world.make('b', { priority: 2, allowPriorityTakeover: true, jitter: 0 }));
    await world.clock.advance(2000);
    expect(a.isLeader).toBe(true);
    expect(levelOf(world, 'priority_takeover_failed')).toBe('debug');
    await world.stop(b);
    world.hub.fault = (call) => (call.operation === 'delete' ? { outcome: 'fail' } : undefined);
    await world.stop(a);
    expect(levelOf(world, 'key_deletion_failed')).toBe('warn');
  });
});
