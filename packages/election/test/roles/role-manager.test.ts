import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { RoleManager } from '../../src/index.ts';
import { SharedWatchKv } from '../../src/roles/shared-watch.ts';
import { SlotClock } from '../../src/roles/slot-clock.ts';
import { TTL, World } from '../world.ts';

async function manager(world: World, instanceId: string, options = {}): Promise<RoleManager> {
  const session = world.session(instanceId);
  const roles = new RoleManager(
    { session, bucket: 'elections', instanceId, ttl: TTL, ...options },
    world.env(instanceId),
  );
  await Promise.all([roles.start(), world.clock.advance(20)]);
  return roles;
}

async function add(world: World, roles: RoleManager, ...groups: readonly string[]): Promise<void> {
  await Promise.all([...groups.map((group) => roles.add(group)), world.clock.advance(100)]);
}

describe('a role manager', () => {
  it('leads and follows each role by itself', async () => {
    const world = new World();
    const [a, b] = [await manager(world, 'a'), await manager(world, 'b')];
    await add(world, a, 'writer', 'scheduler');
    await add(world, b, 'mailer', 'writer', 'scheduler');
    await add(world, a, 'mailer');
    expect([a.leading, b.leading]).toEqual([['writer', 'scheduler'], ['mailer']]);
    expect(b.status()).toMatchObject({ writer: { state: 'follower', leaderId: 'a' }, mailer: { state: 'leader' } });
    const done = a.role('writer')?.stepDown();
    await world.clock.advance(50);
    await done;
    expect([a.leading, b.leading]).toEqual([['scheduler'], ['mailer', 'writer']]);
    const removed = b.remove('mailer');
    await world.clock.advance(50);
    await removed;
    expect([a.leading, b.groups]).toEqual([
      ['scheduler', 'mailer'],
      ['writer', 'scheduler'],
    ]);
    await Promise.all([a.stop(), b.stop(), world.clock.advance(100)]);
  });

  it('has one watch for all of them, which serves every follower', async () => {
    const world = new World();
    const kv = await world.session('maker').ensureKv('elections', { ttlMs: TTL });
    const watch = vi.spyOn(Object.getPrototypeOf(kv), 'watch');
    onTestFinished(() => watch.mockRestore());
    const roles = await manager(world, 'a');
    const groups = Array.from({ length: 200 }, (_, i) => `g${i}`);
    await add(world, roles, ...groups);
    expect(roles.leading).toHaveLength(200);
    const other = await manager(world, 'b');
    await add(world, other, ...groups);
    // One each.
    expect(watch).toHaveBeenCalledTimes(2);
    // Hand-overs are seen by the watch, not by polling or expiry.
    await Promise.all([roles.stop(), world.clock.advance(200)]);
    expect(other.leading).toHaveLength(200);
    await Promise.all([other.stop(), world.clock.advance(200)]);
  });

  it('remembers nothing of a role that was removed', async () => {
    const world = new World();
    const forget = vi.spyOn(SharedWatchKv.prototype, 'forget');
    onTestFinished(() => forget.mockRestore());
    const roles = await manager(world, 'a');
    for (let i = 0; i < 20; i++) {
      await add(world, roles, `g${i}`);
      await Promise.all([roles.remove(`g${i}`), world.clock.advance(100)]);
    }
    const [kv] = forget.mock.contexts as SharedWatchKv[];
    expect([roles.groups, kv?.size]).toEqual([[], 0]);
    // And takes one in again.
    await add(world, roles, 'g0');
    expect(roles.leading).toEqual(['g0']);
    await Promise.all([roles.stop(), world.clock.advance(100)]);
  });

  it('passes hooks and options on, and refuses a role twice', async () => {
    const world = new World();
    const roles = await manager(world, 'a', { priority: 3 });
    const led: string[] = [];
    const adding = roles.add('g', { preemptible: false }, (election) =>
      election.onPromote(({ group }) => void led.push(group)),
    );
    await world.clock.advance(100);
    await adding;
    expect([led, await world.lease()]).toMatchObject([['g'], { priority: 3, firm: true }]);
    await expect(roles.add('g')).rejects.toMatchObject({ code: 'ROLE_EXISTS' });
    await Promise.all([roles.stop(), world.clock.advance(100)]);
    await expect(roles.add('h')).rejects.toMatchObject({ code: 'STATE_INVALID' });
  });

  it('refuses fences that no warden would run', async () => {
    const world = new World();
    const roles = await manager(world, 'a');
    const adding = roles.add('g', { fence: [{ command: ['true'] }] });
    await expect(adding).rejects.toMatchObject({ code: 'ROLE_UNGUARDED', fields: { group: 'g' } });
    expect(roles.groups).toEqual([]);
    await Promise.all([roles.stop(), world.clock.advance(100)]);
  });

  it('reports faulty options at once', () => {
    expect(() => new RoleManager({ bucket: 'x.y', instanceId: '', ttl: 1 }, new World().env('a'))).toThrowError(
      expect.objectContaining({ code: 'OPTIONS_INVALID' }),
    );
  });
});

describe('the clock of roles', () => {
  it('fires what is due in the same millisecond in one turn, never early, and cancels', async () => {
    const { clock } = new World();
    let timers = 0;
    const slots = new SlotClock({
      wall: () => clock.wall(),
      monotonic: () => clock.monotonic(),
      sleep: (ms, options) => clock.sleep(ms, options),
      timer: (ms, run) => {
        timers += 1;
        return clock.timer(ms, run);
      },
    });
    const fired: string[] = [];
    slots.timer(9.2, () => fired.push(`a ${clock.monotonic()}`));
    slots.timer(9.9, () => fired.push(`b ${clock.monotonic()}`));
    const cancelled = slots.timer(9.5, () => fired.push('c'));
    const alone = slots.timer(20, () => fired.push('d'));
    expect(timers).toBe(2);
    cancelled.cancel();
    alone.cancel();
    await clock.advance(9.9);
    expect(fired).toEqual([]);
    await clock.advance(30);
    expect(fired).toEqual(['a 1010', 'b 1010']);
    const abort = new AbortController();
    const slept = slots.sleep(50, { signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(slept).rejects.toThrow('enough');
  });
});
