import { type CanopyError, systemEnv } from '@canopy/core';
import { settle, VirtualClock } from '@canopy/core/testing';
import type { Kv } from '@canopy/nats';
import { MemoryNats } from '@canopy/nats/memory';
import { beforeEach, describe, expect, it } from 'vitest';
import { Identity } from '../../src/members/identity.ts';
import { decodeRecord, encodeRecord } from '../../src/members/record.ts';
import { thisProcess } from '../../src/members/this-process.ts';
import { recordOf } from './records.ts';

let clock: VirtualClock;
let kv: Kv;
let lost: CanopyError[];

beforeEach(async () => {
  clock = new VirtualClock();
  lost = [];
  const session = new MemoryNats({ clock }).session({ name: 'test', env: systemEnv({ clock }) });
  kv = await during(session.ensureKv('p_members'));
});

/** Lets virtual time pass until the promise settles. */
async function during<T>(work: Promise<T>, limitMs = 60_000): Promise<T> {
  let isDone = false;
  work.then(
    () => {
      isDone = true;
    },
    () => {
      isDone = true;
    },
  );
  for (let ms = 0; !isDone && ms < limitMs; ms += 50) {
    await settle();
    if (!isDone) await clock.advance(50);
  }
  return work;
}

function identity(incarnation: string, facts = {}): Identity {
  const describe_ = async () => recordOf('n1', { incarnation, startedAt: 1_700_000_000_000, ...facts });
  return new Identity(
    { kv, platform: 'p', node: 'n1', incarnation, refreshMs: 1000, describe: describe_, onLost: (e) => lost.push(e) },
    systemEnv({ clock }),
  );
}

async function stored(): Promise<string | undefined> {
  const entry = await kv.get('n1');
  return entry && decodeRecord(entry.value)?.incarnation;
}

describe('a node id', () => {
  it('is taken, refreshed once an interval, and given back', async () => {
    const one = identity('one');
    await during(one.claim());
    const first = (await kv.get('n1'))?.revision as number;
    await clock.advance(3050);
    expect((await kv.get('n1'))?.revision).toBe(first + 3);
    expect(one.isFresh).toBe(true);
    await during(one.release(1000));
    expect(await stored()).toBeUndefined();
  });

  it('is refused to a second process, which is told the holder', async () => {
    const one = identity('one', { process: { host: 'alpha', pid: 77, startTicks: 5, machine: 'elsewhere' } });
    await during(one.claim());
    const startedAt = clock.monotonic();
    await expect(during(identity('two').claim())).rejects.toMatchObject({
      code: 'NODE_ID_IN_USE',
      message: expect.stringContaining('held by process 77 on alpha since 2023-11-14T22:13:20.000Z'),
    });
    // As soon as the holder is seen alive, not after the whole wait.
    expect(clock.monotonic() - startedAt).toBeLessThan(2100);
    expect(await stored()).toBe('one');
    await during(one.release(1000));
  });

  it('is given to the next one when its record has not changed for 5 intervals, not before', async () => {
    await kv.create('n1', encodeRecord(recordOf('n1', { incarnation: 'dead' })));
    const startedAt = clock.monotonic();
    const two = identity('two');
    await during(two.claim());
    expect(clock.monotonic() - startedAt).toBeGreaterThanOrEqual(5000);
    expect(clock.monotonic() - startedAt).toBeLessThan(5600);
    expect(await stored()).toBe('two');
    await during(two.release(1000));
  });

  it('is given at once when the holder is known to be dead', async () => {
    // A process of this machine that is certainly gone: our own pid with another start time.
    const dead = { ...thisProcess(), startTicks: thisProcess().startTicks - 1 };
    await kv.create('n1', encodeRecord(recordOf('n1', { incarnation: 'dead', process: dead })));
    const startedAt = clock.monotonic();
    const two = identity('two');
    await during(two.claim());
    expect(clock.monotonic() - startedAt).toBeLessThan(100);
    await during(two.release(1000));
  });

  it('is given at once when the holder leaves meanwhile', async () => {
    const revision = await kv.create('n1', encodeRecord(recordOf('n1', { incarnation: 'leaving' })));
    const two = identity('two');
    const claiming = two.claim();
    await clock.advance(600);
    await kv.delete('n1', revision);
    const startedAt = clock.monotonic();
    await during(claiming);
    expect(clock.monotonic() - startedAt).toBeLessThan(1200);
    expect(await stored()).toBe('two');
    await during(two.release(1000));
  });

  it('is lost when another incarnation has taken it, and then never written again', async () => {
    const one = identity('one');
    await during(one.claim());
    const revision = (await kv.get('n1'))?.revision as number;
    const other = recordOf('n1', {
      incarnation: 'two',
      process: { host: 'beta', pid: 5, startTicks: 1, machine: 'm' },
    });
    const taken = await kv.update('n1', encodeRecord(other), revision);
    await clock.advance(1100);
    expect(lost).toMatchObject([{ code: 'NODE_ID_LOST', fields: { host: 'beta', pid: 5 } }]);
    await clock.advance(5000);
    await during(one.release(1000));
    expect((await kv.get('n1'))?.revision).toBe(taken);
    expect(await stored()).toBe('two');
    expect(one.isFresh).toBe(false);
  });

  it('survives a refresh whose answer was lost, and a record that somebody removed', async () => {
    const one = identity('one');
    await during(one.claim());
    const entry = await kv.get('n1');
    // What an own write looks like whose answer never came.
    await kv.update('n1', entry?.value as Uint8Array, entry?.revision as number);
    await clock.advance(1100);
    expect(lost).toEqual([]);
    const now = await kv.get('n1');
    await kv.delete('n1', now?.revision as number);
    await clock.advance(1100);
    expect(await stored()).toBe('one');
    expect(lost).toEqual([]);
    await during(one.release(1000));
  });

  it('is given back also when the last refresh was stored without our knowing', async () => {
    const one = identity('one');
    await during(one.claim());
    const entry = await kv.get('n1');
    await kv.update('n1', entry?.value as Uint8Array, entry?.revision as number);
    await during(one.release(1000));
    expect(await stored()).toBeUndefined();
  });

  it('is given back also in the middle of a refresh', async () => {
    const one = identity('one');
    await during(one.claim());
    one.kick();
    await during(one.release(1000));
    expect(await stored()).toBeUndefined();
  });

  it('writes at once on a kick', async () => {
    const one = identity('one');
    await during(one.claim());
    const before = (await kv.get('n1'))?.revision as number;
    one.kick();
    await clock.advance(5);
    expect((await kv.get('n1'))?.revision).toBe(before + 1);
    await during(one.release(1000));
  });
});
