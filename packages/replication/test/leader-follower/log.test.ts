/** The manager on a log: what the log decides, and what a leader may say before it has decided. */
import { type Json, MemoryLog, MemoryProgressChannel, type WriteResult } from '@canopy/replication';
import { describe, expect, it } from 'vitest';
import { MemorySnapshots } from './memory-snapshots.ts';
import { NodesOnALog, put } from './nodes-on-a-log.ts';
import { MapStore } from './plain-pipeline.ts';

/** A term as an election gives it. */
function termOf(epoch: number) {
  const ending = new AbortController();
  let valid = true;
  return {
    leadership: { epoch, signal: ending.signal, isValid: () => valid },
    expire: () => {
      valid = false;
    },
    end: () => {
      valid = false;
      ending.abort(new Error('lost'));
    },
  };
}

describe('a leader on a log', () => {
  it("claims a term, and writes what all show; sequences are the log's", async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    const follower = await nodes.started('b', 'follower');
    expect(nodes.log.events[0]).toMatchObject({ topic: 'epoch', event: { epoch: 1, node: 'a' } });
    expect(await nodes.pass(put(leader, 'k', { v: 1 }))).toMatchObject({ success: true, sequence: 2 });
    expect(await leader.read('k')).toEqual({ v: 1 });
    await nodes.until(() => follower.getAppliedSequence() === 2);
    expect(await follower.read('k')).toEqual({ v: 1 });
    expect([follower.getLeaderId(), follower.getReplicationLag(), leader.getEpoch()]).toEqual(['a', 0, 1]);
    await nodes.pass(leader.write({ key: 'k', operation: 'delete' }));
    await nodes.until(() => follower.getAppliedSequence() === 3);
    expect(await follower.read('k')).toBeNull();
    expect(await put(follower, 'x')).toMatchObject({ errorCode: 'FOLLOWER_READ_ONLY', leaderId: 'a' });
    expect(nodes.store('a').position()).toEqual({ sequence: 3, epoch: 1, logCreatedAt: leader.position().logId });
  });

  it('sends writes without waiting for each other, and commits many at once', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    const follower = await nodes.started('b', 'follower');
    const before = nodes.store('b').commits;
    const results = await nodes.pass(Promise.all(Array.from({ length: 100 }, (_, i) => put(leader, `k${i}`))));
    expect(results.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 100 }, (_, i) => i + 2));
    await nodes.until(() => follower.getAppliedSequence() === 101);
    expect(nodes.store('b').commits - before).toBeLessThan(20);
    expect(nodes.store('b').text()).toBe(nodes.store('a').text());
  });

  it('takes what JSON can carry as it is at the moment of the call', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    const follower = await nodes.started('b', 'follower');
    const value = { items: ['milk'], at: new Date(0) };
    const writing = put(leader, 'cart', value);
    value.items.push('eggs');
    const { sequence = 0 } = await nodes.pass(writing);
    await nodes.pass(follower.waitForSequence(sequence));
    expect([await leader.read('cart'), nodes.store('b').text()]).toEqual([
      { items: ['milk'], at: '1970-01-01T00:00:00.000Z' },
      nodes.store('a').text(),
    ]);
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    for (const wrong of [circle, () => 1, 7n])
      expect(await put(leader, 'k', wrong)).toMatchObject({ success: false, errorCode: 'EVENT_INVALID' });
    expect(await put(leader, 'ü'.repeat(513))).toMatchObject({ errorCode: 'EVENT_INVALID' });
    // No store takes it: in the log it would stop every replica for good.
    expect(await put(leader, 'half \ud800', 1)).toMatchObject({ errorCode: 'EVENT_INVALID' });
    expect(await leader.read('half \ud800')).toBeNull();
    expect(await nodes.pass(put(leader, 'ü'.repeat(512), 1))).toMatchObject({ success: true });
  });

  it('begins to lead with a write that comes before its start, or during it', async () => {
    await using nodes = new NodesOnALog();
    const early = nodes.node('a', 'leader');
    nodes.log.fault = ({ operation }) => (operation === 'append' ? { outcome: 'fail' } : undefined);
    const away = nodes.node('z', 'leader');
    const failed = await nodes.pass(put(away, 'k'));
    expect(failed).toMatchObject({ success: false, errorCode: 'REPLICATION_FAILED' });
    expect(failed.unknown).toBeUndefined();
    expect(await put(away, 'k')).toMatchObject({ errorCode: 'NOT_LEADER' });
    nodes.log.fault = undefined;
    const first = put(early, 'k', 1);
    const starting = early.start();
    const results = await nodes.pass(Promise.all([first, put(early, 'k', 2)]));
    await starting;
    expect(results).toMatchObject([2, 3].map((sequence) => ({ success: true, sequence })));
    expect([early.getRole(), early.getEpoch(), await early.read('k')]).toEqual(['leader', 1, 2]);
    await early.close();
    expect(await put(nodes.node('y', 'follower'), 'k')).toMatchObject({ errorCode: 'FOLLOWER_READ_ONLY' });
  });

  it('does not lead without a right to', async () => {
    await using nodes = new NodesOnALog();
    const alone = await nodes.started('b', 'follower', { quorumCallback: undefined as never });
    await expect(nodes.pass(alone.promote())).rejects.toMatchObject({ code: 'NO_QUORUM' });
    const election = { leadership: undefined };
    const unelected = await nodes.started('c', 'leader', { election });
    expect(unelected.getRole()).toBe('follower');
    await expect(nodes.pass(unelected.promote())).rejects.toMatchObject({ code: 'NO_QUORUM' });
    const { leadership, expire } = termOf(7);
    const losing = await nodes.started('d', 'follower', { election: { leadership } });
    nodes.log.fault = ({ operation }) => {
      if (operation === 'info') expire();
      return undefined;
    };
    await expect(nodes.pass(losing.promote())).rejects.toMatchObject({ code: 'NO_QUORUM' });
    expect([losing.getRole(), nodes.log.lastSequence]).toEqual(['follower', 0]);
    nodes.log.fault = undefined;
    const open = await nodes.started('e', 'follower', {
      quorumCallback: undefined as never,
      allowUnprovenPromotion: true,
    });
    await nodes.pass(open.promote());
    expect(await nodes.pass(put(open, 'k'))).toMatchObject({ success: true });
  });

  it('is deposed by the log: its next write is refused, it follows, and it shows what the other wrote', async () => {
    await using nodes = new NodesOnALog();
    const [a, b] = [await nodes.started('a', 'leader'), await nodes.started('b', 'follower')];
    await nodes.pass(put(a, 'k', 1));
    // It does not hear of the other's record before it writes.
    nodes.log.fault = ({ node, operation }) => (node === 'a' && operation === 'deliver' ? { delayMs: 500 } : undefined);
    await nodes.pass(b.promote());
    expect([a.getRole(), b.getRole(), b.getEpoch()]).toEqual(['leader', 'leader', 2]);
    const demoted: unknown[] = [];
    a.on('demoted', (payload) => demoted.push(payload));
    expect(await nodes.pass(put(a, 'k', 'lost'))).toMatchObject({
      success: false,
      errorCode: 'STALE_LEADER',
      leaderId: 'b',
    });
    nodes.log.fault = undefined;
    await nodes.until(() => a.getRole() === 'follower');
    expect(demoted).toMatchObject([{ epoch: 1 }]);
    expect(await nodes.pass(put(b, 'k', 2))).toMatchObject({ success: true });
    await nodes.until(() => a.getAppliedSequence() === nodes.log.lastSequence);
    expect(await a.read('k')).toBe(2);
    expect(await put(a, 'x')).toMatchObject({ errorCode: 'NOT_LEADER', leaderId: 'b' });
  });

  it('learns of its successor also when it has nothing to write', async () => {
    await using nodes = new NodesOnALog();
    const [a, b] = [await nodes.started('a', 'leader'), await nodes.started('b', 'follower')];
    await nodes.pass(b.promote());
    await nodes.until(() => a.getRole() === 'follower');
    expect(a.getLeaderId()).toBe('b');
  });

  it('does not take a stray record of an earlier term for a new leader', async () => {
    await using nodes = new NodesOnALog();
    const a = await nodes.started('a', 'leader');
    const follower = await nodes.started('b', 'follower');
    await nodes.pass(put(a, 'k', 1));
    const stray = { type: 'replication.write', namespace: 'tenant', key: 'k', value: 'stray', operation: 'update' };
    const record = { ...stray, epoch: 0, number: 1, node: 'z', timestamp: 0 } as Json;
    await nodes.pass(nodes.log.connect('z').append(record));
    await nodes.pass(nodes.log.connect('z').append('noise'));
    const [first, second] = await nodes.pass(Promise.all([put(a, 'x', 1), put(a, 'y', 2)]));
    expect([first, second]).toMatchObject([
      { success: false, errorCode: 'REPLICATION_FAILED' },
      { success: false, errorCode: 'REPLICATION_FAILED' },
    ]);
    expect(first.unknown).toBeUndefined();
    expect(await nodes.pass(put(a, 'x', 3))).toMatchObject({ success: true, sequence: 5 });
    expect(a.getRole()).toBe('leader');
    await nodes.until(() => follower.getAppliedSequence() === 5);
    expect([await follower.read('k'), await a.read('k')]).toEqual([1, 1]);
  });
});

describe('unknown outcomes', () => {
  const lose = (nodes: NodesOnALog, outcome: 'answer-lost' | 'request-lost', times = 1): void => {
    let left = times;
    nodes.log.fault = ({ operation }) => (operation === 'append' && left-- > 0 ? { outcome } : undefined);
  };

  it('an answer that was lost is found in the log', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader', { writeTimeoutMs: 1000 });
    lose(nodes, 'answer-lost');
    expect(await nodes.pass(put(leader, 'k', 1))).toMatchObject({ success: true, sequence: 2 });
    // Where there is no time to read, the outcome is unknown; what the log has shows all the same.
    let infos = 0;
    nodes.log.fault = ({ operation }) => {
      if (operation === 'append') return { outcome: 'answer-lost' };
      return operation === 'info' && infos++ === 0 ? { delayMs: 800 } : undefined;
    };
    const result = await nodes.pass(put(leader, 'l', 1));
    expect(result).toMatchObject({ success: false, errorCode: 'REPLICATION_FAILED', unknown: true });
    nodes.log.fault = undefined;
    await nodes.until(() => leader.getAppliedSequence() === 3);
    expect(await leader.read('k')).toBe(1);
    const next = await nodes.pass(put(leader, 'm'));
    expect(next).toMatchObject({ success: true, sequence: 4 });
  });

  it('a request that was lost fails, and what stood behind it too; the next one succeeds', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader', { writeTimeoutMs: 1000 });
    lose(nodes, 'request-lost');
    const results: WriteResult[] = await nodes.pass(
      Promise.all([put(leader, 'a'), put(leader, 'b'), put(leader, 'c')]),
    );
    for (const result of results) expect(result).toMatchObject({ success: false, errorCode: 'REPLICATION_FAILED' });
    expect(await nodes.pass(put(leader, 'd'))).toMatchObject({ success: true, sequence: 2 });
    expect([...nodes.store('a').getAll().keys()]).toEqual(['d']);
  });

  it('answers in time, also when it waits for others to be resolved', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader', { writeTimeoutMs: 2000 });
    nodes.log.fault = () => ({ outcome: 'request-lost' });
    const first = put(leader, 'a');
    await nodes.clock.advance(1500);
    const before = nodes.clock.monotonic();
    const second = await nodes.pass(leader.write({ key: 'b', value: 1, operation: 'create' }, { timeoutMs: 100 }));
    expect(second).toMatchObject({ success: false, errorCode: 'REPLICATION_FAILED', unknown: true });
    expect(nodes.clock.monotonic() - before).toBeLessThan(300);
    await nodes.pass(first);
  });

  it('does not append while it can not be known where the log ends', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader', { writeTimeoutMs: 500 });
    nodes.log.fault = () => ({ outcome: 'request-lost' });
    expect(await nodes.pass(put(leader, 'a'))).toMatchObject({ success: false, unknown: true });
    expect(await nodes.pass(put(leader, 'b'))).toMatchObject({ success: false, errorCode: 'REPLICATION_FAILED' });
    nodes.log.fault = undefined;
    expect(await nodes.pass(put(leader, 'c'))).toMatchObject({ success: true, sequence: 2 });
  });

  it('a place that another term took does not make what stands behind it count', async () => {
    await using nodes = new NodesOnALog();
    const a = await nodes.started('a', 'leader', { writeTimeoutMs: 1000 });
    const b = await nodes.started('b', 'follower');
    // The first write is lost on its way; while it is awaited, another claims its place.
    let lost = 0;
    nodes.log.fault = ({ node, operation }) => {
      if (node !== 'a') return undefined;
      if (operation === 'deliver') return { delayMs: 3000 };
      return operation === 'append' && lost++ === 0 ? { outcome: 'request-lost' } : undefined;
    };
    const writes = Promise.all([put(a, 'x', 'old'), put(a, 'y', 'old')]);
    await nodes.pass(b.promote());
    const results = await nodes.pass(writes);
    expect(results.map(({ success }) => success)).toEqual([false, false]);
    nodes.log.fault = undefined;
    await nodes.pass(put(b, 'z'));
    await nodes.pass(put(b, 'z'));
    await nodes.until(() => a.getAppliedSequence() === nodes.log.lastSequence);
    expect(nodes.store('a').text()).toBe(nodes.store('b').text());
    expect(await b.read('y')).toBeNull();
  });
});

describe('the right to write', () => {
  it('ends with the term of the election, before every write and by its signal', async () => {
    await using nodes = new NodesOnALog();
    const first = termOf(5);
    const election: { leadership: (typeof first)['leadership'] | undefined } = { leadership: first.leadership };
    const leader = await nodes.started('a', 'leader', { election });
    expect(leader.getEpoch()).toBe(5);
    expect(await nodes.pass(put(leader, 'a'))).toMatchObject({ success: true });
    first.expire();
    expect(await put(leader, 'b')).toMatchObject({ success: false, errorCode: 'STALE_LEADER' });
    await nodes.until(() => leader.getRole() === 'follower');
    const second = termOf(9);
    election.leadership = second.leadership;
    await nodes.pass(leader.promote());
    expect(leader.getEpoch()).toBe(9);
    second.end();
    await nodes.until(() => leader.getRole() === 'follower');
  });

  it('a term with a small epoch gets the next one of the log', async () => {
    await using nodes = new NodesOnALog();
    await nodes.started('a', 'leader', { election: { leadership: termOf(50).leadership } });
    const b = await nodes.started('b', 'follower', { election: { leadership: termOf(3).leadership } });
    await nodes.pass(b.promote());
    expect(b.getEpoch()).toBe(51);
  });
});

describe('acknowledgement levels', () => {
  it('local answers at once and tells later; followers:n waits for reports over the channel', async () => {
    await using nodes = new NodesOnALog();
    const progress = new MemoryProgressChannel();
    const leader = await nodes.started('a', 'leader', { progress });
    const local = await leader.write({ key: 'k', value: 1, operation: 'create' }, { ack: 'local' });
    expect(local).toMatchObject({ success: true, sequence: 2 });
    expect(await nodes.pass(local.confirmed as Promise<WriteResult>)).toMatchObject({ success: true, sequence: 2 });
    const lonely = leader.write({ key: 'k', value: 2, operation: 'update' }, { ack: 'followers:1', timeoutMs: 300 });
    expect(await nodes.pass(lonely)).toMatchObject({ success: false, errorCode: 'ACK_INCOMPLETE', sequence: 3 });
    await nodes.started('b', 'follower', { progress });
    await nodes.started('c', 'follower', { progress });
    const wide = leader.write({ key: 'k', value: 3, operation: 'update' }, { ack: 'followers:2' });
    expect(await nodes.pass(wide)).toMatchObject({ success: true, sequence: 4 });
    expect([leader.getConnectedFollowers().sort(), leader.getFollowerLag('b')]).toEqual([['b', 'c'], 0]);
    expect(await leader.write({ key: 'k', operation: 'delete' }, { ack: 'followers:0' })).toMatchObject({
      success: false,
    });
  });
});

describe('a follower of a log', () => {
  it('is not stale while the leader is idle, and is when it is cut off or behind', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    const follower = await nodes.started('b', 'follower', { maxStalenessMs: 3000 });
    await nodes.clock.advance(60_000);
    expect(follower.isStale()).toBe(false);
    nodes.log.fault = ({ node }) => (node === 'b' ? { outcome: 'request-lost' } : undefined);
    await nodes.clock.advance(10_000);
    expect(follower.isStale()).toBe(true);
    nodes.log.fault = undefined;
    await nodes.until(() => !follower.isStale());
    nodes.log.fault = ({ node, operation }) =>
      node === 'b' && operation === 'deliver' ? { delayMs: 2000 } : undefined;
    for (let i = 0; i < 20; i++) await nodes.pass(put(leader, `k${i}`));
    await nodes.clock.advance(10_000);
    // It receives events all the time; they are old.
    expect([follower.isStale(), follower.getReplicationLag() > 0]).toEqual([true, true]);
  });

  it('resumes from its store, and repeats nothing', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    const first = await nodes.started('b', 'follower');
    await nodes.pass(put(leader, 'k', 1));
    await nodes.until(() => first.getAppliedSequence() === 2);
    await nodes.pass(first.close());
    await nodes.pass(put(leader, 'k', 2));
    const recovered: unknown[] = [];
    const second = nodes.node('b', 'follower');
    second.on('recoveryComplete', (payload) => recovered.push(payload));
    const applied: number[] = [];
    second.on('eventApplied', ({ sequence }) => applied.push(sequence));
    await nodes.pass(second.start());
    expect([applied, recovered]).toMatchObject([[3], [{ eventsRecovered: 1 }]]);
  });

  it('keeps all it has when its store fails, tells it, and goes on when that works again', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    const follower = await nodes.started('b', 'follower');
    const errors: unknown[] = [];
    follower.on('error', ({ error }) => errors.push(error.message));
    nodes.store('b').failing = new Error('disk full');
    await nodes.pass(put(leader, 'k', 1));
    await nodes.until(() => errors.length > 1);
    expect(follower.getAppliedSequence()).toBe(1);
    nodes.store('b').failing = undefined;
    await nodes.until(() => follower.getAppliedSequence() === 2);
    expect(errors).toContain('disk full');
  });

  it('a leader whose store fails says so and steps down; the write is in the log', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    nodes.store('a').failing = new Error('disk full');
    expect(await nodes.pass(put(leader, 'k', 1))).toMatchObject({ success: false, unknown: true, sequence: 2 });
    await nodes.until(() => leader.getRole() === 'follower');
    nodes.store('a').failing = undefined;
    await nodes.until(() => leader.getAppliedSequence() === 2);
    expect(await leader.read('k')).toBe(1);
  });

  it('with a plain store begins at the front', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    await nodes.pass(put(leader, 'k', 1));
    const follower = await nodes.started('b', 'follower', { stateStore: new MapStore() });
    expect(await follower.read('k')).toBe(1);
  });

  it('refuses a log that is shorter than its own state', async () => {
    await using nodes = new NodesOnALog();
    nodes.store('b').apply([], { sequence: 9, epoch: 1 });
    const errors: unknown[] = [];
    const follower = nodes.node('b', 'follower', { writeTimeoutMs: 100 });
    follower.on('error', ({ error }) => errors.push((error as { code?: string }).code));
    await nodes.pass(follower.start());
    expect(errors).toContain('REPLICA_BEYOND_LOG');
    await expect(nodes.pass(follower.promote())).rejects.toMatchObject({ code: 'REPLICA_BEYOND_LOG' });
  });

  it('refuses a log that was made anew, also after its restart, until it is rebuilt', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    await nodes.pass(put(leader, 'old'));
    const before = await nodes.started('b', 'follower');
    expect(nodes.store('b').position()).toMatchObject({ sequence: 2, logCreatedAt: before.position().logId });
    await nodes.pass(before.close());
    await nodes.clock.advance(1000);
    const other = new MemoryLog('tenant', { clock: nodes.clock });
    const next = await nodes.started('c', 'leader', { pipeline: other.connect('c') });
    for (const key of ['x', 'y', 'z']) await nodes.pass(put(next, key));
    const errors: unknown[] = [];
    const follower = nodes.node('b', 'follower', { writeTimeoutMs: 100, pipeline: other.connect('b') });
    follower.on('error', ({ error }) => errors.push((error as { code?: string }).code));
    await nodes.pass(follower.start());
    expect(errors).toContain('REPLICA_BEYOND_LOG');
    expect(await follower.read('old')).toBe('old');
    await expect(nodes.pass(follower.rebuild())).rejects.toMatchObject({ code: 'RECOVERY_REFUSED' });
    expect(await follower.read('old')).toBe('old');
    await nodes.pass(follower.rebuild({ discard: true }));
    expect([await follower.read('old'), await follower.read('z')]).toEqual([null, 'z']);
    await nodes.pass(put(next, 'more'));
    await nodes.until(() => follower.getAppliedSequence() === 5);
  });
});

describe('snapshots', () => {
  it('are taken every n events, trim the log, and start new followers', async () => {
    await using nodes = new NodesOnALog();
    const store = new MemorySnapshots();
    const snapshots = { store, everyEvents: 10, keepEvents: 2 };
    const leader = await nodes.started('a', 'leader', { snapshots });
    for (let i = 0; i < 25; i++) await nodes.pass(put(leader, `k${i % 7}`, i));
    await nodes.until(() => store.stored.length === 2);
    await nodes.until(() => (nodes.log.events[0]?.sequence ?? 0) > 10);
    const follower = nodes.node('b', 'follower', { snapshots: { store, take: false } });
    const applied: number[] = [];
    follower.on('eventApplied', ({ sequence }) => applied.push(sequence));
    await nodes.pass(follower.start());
    expect(applied.length).toBeLessThan(10);
    expect(nodes.store('b').text()).toBe(nodes.store('a').text());
    expect(nodes.store('b').position()).toEqual(nodes.store('a').position());
    // A leader that lost its disk starts from them as well.
    await nodes.pass(leader.close());
    nodes.stores.delete('a');
    const again = await nodes.started('a', 'leader', { snapshots });
    expect(nodes.store('a').text()).toBe(nodes.store('b').text());
    expect(await nodes.pass(put(again, 'new'))).toMatchObject({ success: true });
  });

  it('a follower before the front of the log waits, tells the gap once, and never skips', async () => {
    await using nodes = new NodesOnALog();
    const store = new MemorySnapshots();
    const leader = await nodes.started('a', 'leader', { snapshots: { store, everyEvents: 1000, keepEvents: 0 } });
    for (let i = 0; i < 5; i++) await nodes.pass(put(leader, `k${i}`));
    await nodes.pass(nodes.log.connect('x').trim(4));
    const gaps: unknown[] = [];
    const follower = nodes.node('b', 'follower', { snapshots: { store }, writeTimeoutMs: 500 });
    follower.on('gap', (gap) => gaps.push(gap));
    await nodes.pass(follower.start());
    await nodes.clock.advance(3000);
    expect([gaps, follower.getAppliedSequence()]).toEqual([[{ from: 1, to: 4, reason: 'trimmed' }], 0]);
    await nodes.pass(leader.takeSnapshot());
    await nodes.until(() => follower.getAppliedSequence() === 6);
    expect(nodes.store('b').text()).toBe(nodes.store('a').text());
  });

  it('of another log, or damaged, are not used', async () => {
    await using nodes = new NodesOnALog();
    const store = new MemorySnapshots();
    const leader = await nodes.started('a', 'leader', { snapshots: { store, everyEvents: 3, keepEvents: false } });
    for (let i = 0; i < 9; i++) await nodes.pass(put(leader, `k${i}`));
    await nodes.until(() => store.stored.length > 0);
    store.damaged = true;
    const errors: unknown[] = [];
    const follower = nodes.node('b', 'follower', {
      snapshots: { store, take: false, everyEvents: 3 },
      writeTimeoutMs: 500,
    });
    follower.on('error', ({ error }) => errors.push((error as { code?: string }).code));
    await nodes.pass(follower.start());
    expect(errors).toContain('SNAPSHOT_DAMAGED');
    expect(nodes.store('b').position().sequence).toBe(0);
    store.damaged = false;
    for (const one of store.stored) one.info = { ...one.info, logCreatedAt: 1 };
    await nodes.until(() => follower.getAppliedSequence() === nodes.log.lastSequence);
    expect(nodes.store('b').text()).toBe(nodes.store('a').text());
  });
});
