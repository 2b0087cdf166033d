import { hasCode } from '@canopy/core';
import { describe, expect, it } from 'vitest';
import { decodeAnswer, decodeQuestion, encodeControl } from '../../src/control/subjects.ts';
import {
  controlSubject,
  type Election,
  ElectionResponder,
  type GroupChange,
  groupLeaseOf,
  readGroups,
  requestStepDown,
  watchGroups,
} from '../../src/index.ts';
import { TTL, World } from '../world.ts';

const TARGET = { bucket: 'elections', group: 'g' };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A leader that answers, and somebody who asks. */
async function answering(): Promise<{ world: World; leader: Election; asker: ReturnType<World['session']> }> {
  const world = new World();
  const leader = await world.start(world.make('a.1 ü'));
  const session = world.sessions.get('a.1 ü') as ReturnType<World['session']>;
  await new ElectionResponder(leader, { bus: session.bus, bucket: 'elections' }, world.env('r')).start();
  return { world, leader, asker: world.session('asker') };
}

/** Settled under the world's clock. */
async function settle<T>(world: World, work: Promise<T>): Promise<T | Error> {
  const settled = work.catch((error: Error) => error);
  await world.clock.advance(200);
  return settled;
}

describe('a request to step down', () => {
  it('ends the term that the lease names, after the hooks, and tells which', async () => {
    const { world, leader, asker } = await answering();
    const { epoch } = leader;
    const order: string[] = [];
    leader.onDemote(({ reason }) => void order.push(reason));
    const done = await settle(world, requestStepDown(asker, TARGET));
    expect(done).toMatchObject({ from: 'a.1 ü', epoch });
    expect(order).toEqual(['step_down']);
    expect(leader.isLeader).toBe(false);
    await world.stop(leader);
  });

  it('names a successor', async () => {
    const { world, leader, asker } = await answering();
    const others = [await world.start(world.make('b')), await world.start(world.make('c'))];
    await settle(world, requestStepDown(asker, { ...TARGET, to: 'c' }));
    await world.clock.advance(100);
    expect(others.map((other) => other.isLeader)).toEqual([false, true]);
    await world.stop(leader, ...others);
  });

  it('that was meant for another term is refused, and ends none', async () => {
    const { world, leader, asker } = await answering();
    const subject = controlSubject('elections', 'g', leader.instanceId);
    const question = encodeControl({ op: 'step_down', epoch: (leader.epoch as number) - 1 });
    const answer = await settle(world, asker.bus.request(subject, question));
    const decoded = decodeAnswer((answer as { data: Uint8Array }).data);
    expect(decoded?.ok === false && hasCode(decoded.error, 'ELECTION_TERM_CHANGED')).toBe(true);
    expect(leader.isLeader).toBe(true);
    await world.stop(leader);
  });

  it('says when nobody leads, and when the leader does not listen', async () => {
    const world = new World();
    const asker = world.session('asker');
    const leader = await world.start(world.make('a'));
    expect(await settle(world, requestStepDown(asker, TARGET))).toMatchObject({ code: 'ELECTION_HOLDER_SILENT' });
    expect(leader.isLeader).toBe(true);
    await world.stop(leader);
    expect(await settle(world, requestStepDown(asker, TARGET))).toMatchObject({ code: 'ELECTION_GROUP_VACANT' });
  });

  it('is one subject per candidate, whatever is in its id', () => {
    expect(controlSubject('b', 'g.sub', 'a.*>')).toBe('canopy.election.b.YS4qPg.g.sub');
  });

  it.each(['', '{', '[]', 'null', '{"op":"stop"}', `{"op":"step_down","to":"${'x'.repeat(5000)}"}`])(
    'is not read from %.20s',
    (text) => {
      expect(decodeQuestion(bytes(text))).toBeUndefined();
      expect(decodeAnswer(bytes(text))).toBeUndefined();
    },
  );
});

describe('groups seen from outside', () => {
  it('show holder, epoch and length of the lease, never the token', async () => {
    const world = new World();
    const leader = await world.start(world.make('a'));
    await world.clock.advance(TTL);
    const kv = await world.kv();
    await kv.put('broken', bytes('{'));
    const reading = readGroups(kv);
    await world.clock.advance(100);
    const groups = await reading;
    expect(groups).toMatchObject([
      { group: 'broken', standing: 'unreadable', holder: undefined },
      { group: 'g', standing: 'held', holder: 'a', epoch: leader.epoch, ttlMs: TTL },
    ]);
    expect(JSON.stringify(groups)).not.toContain(leader.status().token);
    await world.stop(leader);
  });

  it('tell each change once: terms, not renewals; a lease that nobody renews runs out', async () => {
    const world = new World();
    const leader = await world.start(world.make('a'));
    const seen: GroupChange[] = [];
    const end = new AbortController();
    const watching = (async () => {
      for await (const change of watchGroups(await world.kv(), world, { signal: end.signal })) seen.push(change);
    })();
    await world.clock.advance(3 * TTL);
    await world.stop(leader);
    await world.overwrite('{"id":"ghost","token":"t"}');
    await world.clock.advance(2 * TTL);
    end.abort();
    await world.clock.advance(100);
    await watching;
    expect(seen.map(({ type }) => type)).toEqual(['led', 'synced', 'vacant', 'led', 'expired']);
  });

  it('take the length of a lease from its value, else from the bucket', () => {
    const entry = { key: 'g', revision: 3, operation: 'put' as const, writtenAt: 0 };
    const of = (text: string) => groupLeaseOf({ ...entry, value: bytes(text) }, 9000).ttlMs;
    expect([of('{"id":"a","token":"t","ttl":500}'), of('{"id":"a","token":"t"}')]).toEqual([500, 9000]);
  });
});
