import { CanopyError, type Duration } from '@canopy/core';
import { seededRandom } from '@canopy/core/testing';
import { MemoryNats } from '@canopy/nats/memory';
import { describe, expect, it } from 'vitest';
import { Election, type ElectionOptions, RoleManager, type RoleManagerOptions } from '../src/index.ts';
import { marginOf, resolveElectionOptions } from '../src/options.ts';

const session = new MemoryNats().session();
const resolve = (options: Partial<ElectionOptions> & Record<string, unknown>) =>
  resolveElectionOptions(
    { session, bucket: 'elections', group: 'g', instanceId: 'a', ...options },
    { random: seededRandom(1) },
  );

function faults(options: Partial<ElectionOptions> & Record<string, unknown>): string[] {
  try {
    resolve(options);
    return [];
  } catch (error) {
    expect(CanopyError.is(error) && error.code).toBe('OPTIONS_INVALID');
    return ((error as CanopyError).fields.violations as { field: string }[]).map(({ field }) => field);
  }
}

describe('election options', () => {
  it('have defaults that follow from the ttl', () => {
    const { rules, requestTimeoutMs, bucketTtlMs, hookTimeoutMs, bucket } = resolve({});
    expect({ ...rules, random: undefined, requestTimeoutMs, bucketTtlMs, hookTimeoutMs, bucket }).toEqual({
      instanceId: 'a',
      priority: 0,
      allowPriorityTakeover: false,
      ttlMs: 10_000,
      marginMs: 1000,
      heartbeatMs: 1000,
      beatGridMs: 100,
      preemptible: true,
      takeoverCooldownMs: 20_000,
      graceMs: 5000,
      jitterMs: 20,
      handoffWaitMs: 1000,
      holdOffMs: 2000,
      epochFloor: 0,
      random: undefined,
      requestTimeoutMs: 10_000 / 6,
      bucketTtlMs: 10_000,
      hookTimeoutMs: 10_000,
      bucket: 'elections',
    });
  });

  it('report every fault at once, by field', () => {
    const options = { group: '.bad', instanceId: '', ttl: '1s', heartbeatInterval: '500ms', priority: -1, hartbeat: 1 };
    expect(faults(options).sort()).toEqual(['group', 'hartbeat', 'heartbeatInterval', 'instanceId', 'priority']);
  });

  it.each<[string, Record<string, Duration | number | boolean | undefined>]>([
    ['ttl', { ttl: 299 }],
    ['ttl', { ttl: 'soon' }],
    ['heartbeatInterval', { ttl: 3000, heartbeatInterval: 1001 }],
    ['heartbeatInterval', { heartbeatInterval: 0 }],
    ['disconnectGracePeriod', { heartbeatInterval: 1000, disconnectGracePeriod: 1999 }],
    ['priority', { allowPriorityTakeover: true }],
    ['epochFloor', { epochFloor: -1 }],
    ['session', { session: undefined }],
    ['bucket', { bucket: 'a.b' }],
    ['group', { group: '' }],
    ['instanceId', { instanceId: '' }],
    ['ttl', { ttl: 0 }],
    ['ttl', { ttl: -1 }],
    ['validationInterval', { heartbeatInterval: 1000, validationInterval: 999 }],
    ['maxConsecutiveFailures', { maxConsecutiveFailures: -1 }],
  ])('refuse a bad %s: %j', (field, options) => {
    expect(faults(options)).toContain(field);
  });

  it.each<[string, Record<string, unknown>]>([
    ['session', { servers: 'nats://127.0.0.1:4222' }],
    ['servers', { session: undefined, servers: [] }],
    ['connection', { session: undefined, connection: {} }],
    ['epochBucket', { epochBucket: 'a.b' }],
    ['epochBucket', { epochBucket: 'elections' }],
    ['healthChecker', { healthChecker: {} }],
    ['warden', { warden: {} }],
    ['warden.fence[0].command', { warden: { connection: { servers: ['x'] }, fence: [{ command: [] }] } }],
    [
      'warden.fence[0].timeout',
      { warden: { connection: { servers: ['x'] }, fence: [{ command: ['x'], timeout: 'soon' }] } },
    ],
    [
      'warden.fence[0].timeout',
      { warden: { connection: { servers: ['x'] }, fence: [{ command: ['x'], timeout: 0 }] } },
    ],
    ['warden.fence[0].timout', { warden: { connection: { servers: ['x'] }, fence: [{ command: ['x'], timout: 1 }] } }],
    ['warden.fence[0]', { warden: { connection: { servers: ['x'] }, fence: [null] } }],
    ['warden.fence', { warden: { connection: { servers: ['x'] }, fence: 'x' } }],
    ['warden.fences', { warden: { connection: { servers: ['x'] }, fences: [] } }],
    ['warden.connection', { warden: { connection: null } }],
    ['warden', { warden: null }],
    ['warden', { warden: 5 }],
    ['failsafe.lmit', { failsafe: { lmit: '30s' } }],
    ['failsafe', { failsafe: null }],
    ['session', { session: {} }],
    ['session', { session: null }],
    ['connection', { session: undefined, connection: null }],
    ['servers', { session: undefined, servers: null }],
    ['kv', { kv: null }],
    ['kv', { kv: {} }],
    ['watchdog', { watchdog: {} }],
    ['watchdog', { watchdog: null }],
    ['requestTimeout', { ttl: '1s', requestTimeout: '2s' }],
    ['jitter', { ttl: '1s', jitter: '1h' }],
    ['bucketTtl', { ttl: '10s', bucketTtl: '9999ms' }],
    ['epochFloor', { epochFloor: 2 ** 50 + 1 }],
    ['instanceId', { instanceId: 'i'.repeat(257) }],
    ['group', { group: 'g'.repeat(256) }],
    ['bucket', { bucket: 'b'.repeat(201) }],
    ['warden', { warden: { connection: { servers: ['x'] } }, watchdog: {} }],
  ])('refuse a bad %s: %j', (field, options) => {
    expect(faults(options)).toContain(field);
  });

  it('report what is wrong inside of parts with the rest, each by its name', () => {
    const connection = { servers: ['x'] };
    const warden = { connection, drain: 'soon', fence: [{ command: ['a'], timeout: -1 }, { comand: ['b'] }] };
    expect(
      faults({ ttl: 'soon', kv: null as never, warden: warden as never, failsafe: { limit: 1 }, foo: 1 }).sort(),
    ).toEqual([
      'failsafe.limit',
      'foo',
      'kv',
      'ttl',
      'warden.drain',
      'warden.fence[0].timeout',
      'warden.fence[1].comand',
      'warden.fence[1].command',
    ]);
  });

  it.each([undefined, null, 5, 'x', []])('that are none at all (%j) are refused as the others', (none) => {
    expect(() => new Election(none as unknown as ElectionOptions)).toThrow(/must be an object/);
    expect(() => new RoleManager(none as unknown as RoleManagerOptions)).toThrow(/instanceId is required/);
  });

  it('say only what is wrong: a ttl that is none is no fault of those that follow from it', () => {
    expect(faults({ ttl: '100ms', disconnectGracePeriod: 67, heartbeatInterval: 33, requestTimeout: 50 })).toEqual([
      'ttl',
    ]);
  });

  it('take what is as long as may be', () => {
    const { rules, bucket } = resolve({ instanceId: 'i'.repeat(256), group: 'g'.repeat(255), bucket: 'b'.repeat(200) });
    expect([rules.instanceId.length, bucket.length]).toEqual([256, 200]);
    expect(faults({ bucketTtl: 0, epochFloor: 2 ** 50, ttl: '1s', jitter: '1s', requestTimeout: '1s' })).toEqual([]);
  });

  it('cap a grace at what the lease allows, and remember what was asked for', () => {
    expect(resolve({ ttl: 3000 })).toMatchObject({ rules: { graceMs: 2700 }, cappedGraceMs: undefined });
    expect(resolve({ ttl: 3000, disconnectGracePeriod: '1m' })).toMatchObject({
      rules: { graceMs: 2700 },
      cappedGraceMs: 60_000,
    });
    expect(resolve({ ttl: '30s', heartbeatInterval: '3s' })).toMatchObject({ rules: { graceMs: 9000 } });
  });

  it('take a connection in three ways, and a warden that uses it', () => {
    const warden = { fence: [{ command: ['stop', 'it'], timeout: '2s' }] };
    const { session: _, ...rest } = { session, servers: 'nats://a', bucket: 'b', group: 'g', instanceId: 'i', warden };
    expect(resolveElectionOptions(rest, { random: seededRandom(1) })).toMatchObject({
      connection: { servers: ['nats://a'] },
      epochBucket: 'b_epochs',
      warden: {
        connection: { servers: ['nats://a'] },
        fences: [{ command: ['stop', 'it'], timeoutMs: 2000 }],
        drainMs: 1500,
      },
    });
  });

  it('take a heartbeat of exactly a third of the ttl', () => {
    expect(faults({ ttl: 3000, heartbeatInterval: 1000 })).toEqual([]);
  });
});

describe('marginOf', () => {
  it.each([300, 1000, 3000, 10_000, 60_000])('covers clocks 5 %% apart for a ttl of %d ms', (ttlMs) => {
    // The slowest holder must give up before the fastest observer may take over.
    expect((ttlMs - marginOf(ttlMs)) / 0.95).toBeLessThan(ttlMs / 1.05);
    expect(marginOf(ttlMs)).toBeLessThan(ttlMs / 3);
  });
});

describe('failsafe', () => {
  it('is off unless asked for, and then keeps the bucket from forgetting', () => {
    expect([resolve({}).rules.failsafe, resolve({ failsafe: false }).rules.failsafe]).toEqual([undefined, undefined]);
    const { rules, bucketTtlMs } = resolve({ ttl: '2s', failsafe: true });
    expect([rules.failsafe?.limitMs, bucketTtlMs]).toEqual([17_000, 0]);
    expect(resolve({ ttl: '2s', failsafe: { limit: '12s' }, bucketTtl: '12s' }).bucketTtlMs).toBe(12_000);
    expect(rules.failsafe?.run).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each<[Record<string, unknown>, string]>([
    [{ failsafe: { limit: '19s' } }, 'failsafe.limit'],
    [{ failsafe: { limit: 'soon' } }, 'failsafe.limit'],
    [{ failsafe: { limit: '25h' } }, 'failsafe.limit'],
    [{ failsafe: 'yes' }, 'failsafe'],
    [{ failsafe: true, bucketTtl: '20s' }, 'bucketTtl'],
  ])('refuses %j', (options, field) => {
    expect(faults(options)).toEqual([field]);
  });
});
