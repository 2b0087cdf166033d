/** Failover: who leads when the election, the manager or the disk below it changes its mind. */
import { Broadcast } from '@canopy/core';
import { followElection, type LeaderTerm, type WatchedElection } from '@canopy/replication';
import { describe, expect, it } from 'vitest';
import { NodesOnALog, put } from './nodes-on-a-log.ts';

/** An election that does as it is told. */
class TestElection implements WatchedElection {
  leadership: LeaderTerm | undefined;
  readonly #events = new Broadcast<number>();
  #end: () => void = () => {};

  watch({ signal }: { signal: AbortSignal }): AsyncIterable<unknown> {
    return this.#events.watch({ signal, first: [0] });
  }

  give(epoch: number): void {
    const ending = new AbortController();
    this.leadership = { epoch, signal: ending.signal, isValid: () => !ending.signal.aborted };
    this.#end = () => ending.abort(new Error('lost'));
    this.#events.send(epoch);
  }

  take(): void {
    this.leadership = undefined;
    this.#end();
    this.#events.send(0);
  }
}

/** One group: what a member gives up, the other one gets, unless nobody else stands. */
class TestGroup {
  readonly members = [new TestMember(this), new TestMember(this)] as const;
  readonly steps: number[] = [];
  isAlone = false;
  #epoch = 2;

  giveTo(member: TestMember): void {
    for (const other of this.members) if (other.leadership !== undefined) other.take();
    this.#epoch += 1;
    member.give(this.#epoch);
  }
}

class TestMember extends TestElection {
  readonly #group: TestGroup;

  constructor(group: TestGroup) {
    super();
    this.#group = group;
  }

  async stepDown({ holdOffMs = 0 } = {}): Promise<void> {
    this.#group.steps.push(holdOffMs);
    const [a, b] = this.#group.members;
    this.#group.giveTo(this.#group.isAlone || this !== a ? a : b);
  }
}

async function failoverPair(nodes: NodesOnALog, [ea, eb]: readonly [TestElection, TestElection]) {
  const a = await nodes.started('a', 'follower', { election: ea });
  const b = await nodes.started('b', 'follower', { election: eb });
  const stops = [followElection(a, ea, {}, nodes.env), followElection(b, eb, {}, nodes.env)];
  const promotions: string[] = [];
  for (const each of [a, b]) each.on('promoted', () => promotions.push(each.getNodeId()));
  const stop = () => nodes.pass(Promise.all(stops.map((one) => one())));
  return { a, b, promotions, stop };
}

describe('followElection', () => {
  it('a manager leads exactly while its election says so, and failed promotions are tried again', async () => {
    await using nodes = new NodesOnALog();
    const elections = [new TestElection(), new TestElection()] as const;
    const { a, b, stop } = await failoverPair(nodes, elections);
    elections[0].give(3);
    await nodes.until(() => a.hasLeaderLock() && a.getRole() === 'leader');
    expect(await nodes.pass(put(a, 'k', 1))).toMatchObject({ success: true });
    // The log can't be reached for a while after the term went over.
    let failures = 3;
    nodes.log.fault = ({ node, operation }) =>
      node === 'b' && operation === 'append' && failures-- > 0 ? { outcome: 'fail' } : undefined;
    elections[0].take();
    elections[1].give(4);
    await nodes.until(() => b.hasLeaderLock() && b.getRole() === 'leader');
    expect([failures <= 0, a.getRole(), b.getEpoch()]).toEqual([true, 'follower', 4]);
    expect(await nodes.pass(put(b, 'k', 2))).toMatchObject({ success: true });
    await stop();
    elections[1].take();
    await nodes.until(() => b.getRole() === 'follower');
  });

  it('a leader that was deposed under a term that lasts leads again', async () => {
    await using nodes = new NodesOnALog();
    const group = new TestGroup();
    const { a, b, stop } = await failoverPair(nodes, group.members);
    group.giveTo(group.members[0]);
    await nodes.until(() => a.getRole() === 'leader' && a.hasLeaderLock());
    await nodes.pass(b.unsafeForcePromote());
    await nodes.until(() => a.getRole() === 'follower');
    await nodes.until(() => a.getRole() === 'leader' && a.hasLeaderLock() && b.getRole() === 'follower');
    expect(await nodes.pass(put(a, 'k', 1))).toMatchObject({ success: true });
    expect(group.steps).toEqual([]);
    await stop();
  });

  it('a leader whose disk is full gives its term up, and another one leads', async () => {
    await using nodes = new NodesOnALog();
    const group = new TestGroup();
    const { a, b, stop } = await failoverPair(nodes, group.members);
    group.giveTo(group.members[0]);
    await nodes.until(() => a.getRole() === 'leader' && a.hasLeaderLock());
    nodes.store('a').failing = new Error('disk full');
    expect(await nodes.pass(put(a, 'k', 1))).toMatchObject({ success: false, unknown: true });
    await nodes.until(() => b.getRole() === 'leader' && b.hasLeaderLock());
    expect(group.steps).toEqual([10_000]);
    expect(await nodes.pass(put(b, 'k', 2))).toMatchObject({ success: true });
    nodes.store('a').failing = undefined;
    await nodes.until(() => nodes.store('a').text() === nodes.store('b').text());
    await stop();
  });

  it('a disk that has room again in time costs no term', async () => {
    await using nodes = new NodesOnALog();
    const group = new TestGroup();
    const { a, stop } = await failoverPair(nodes, group.members);
    group.giveTo(group.members[0]);
    await nodes.until(() => a.getRole() === 'leader' && a.hasLeaderLock());
    nodes.store('a').failing = new Error('disk full');
    await nodes.pass(put(a, 'k', 1));
    await nodes.until(() => a.getRole() === 'follower');
    await nodes.clock.advance(2000);
    nodes.store('a').failing = undefined;
    await nodes.until(() => a.getRole() === 'leader' && a.hasLeaderLock());
    expect([group.steps, await a.read('k')]).toEqual([[], 1]);
    await stop();
  });

  it('where nobody can lead the term changes hands slowly', async () => {
    await using nodes = new NodesOnALog();
    const group = new TestGroup();
    const { a, b, promotions, stop } = await failoverPair(nodes, group.members);
    for (const node of ['a', 'b']) nodes.store(node).failing = new Error('disk full');
    group.giveTo(group.members[0]);
    const began = nodes.clock.monotonic();
    for (let i = 0; i < 6000; i++) await nodes.clock.advance(10);
    const seconds = (nodes.clock.monotonic() - began) / 1000;
    expect(group.steps.length).toBeGreaterThan(1);
    expect(group.steps.length).toBeLessThanOrEqual(seconds / 10);
    // Epoch records are in the log for claims that its store refused; not many.
    expect([promotions, nodes.log.events.length < 20]).toEqual([[], true]);
    for (const node of ['a', 'b']) nodes.store(node).failing = undefined;
    await nodes.until(() => [a, b].some((each) => each.getRole() === 'leader' && each.hasLeaderLock()));
    await stop();
  });

  it('two who hold a term each depose each other ever more slowly', async () => {
    await using nodes = new NodesOnALog();
    const elections = [new TestElection(), new TestElection()] as const;
    const { promotions, stop } = await failoverPair(nodes, elections);
    elections[0].give(3);
    elections[1].give(3);
    for (let i = 0; i < 3000; i++) await nodes.clock.advance(10);
    expect(promotions.length).toBeGreaterThan(4);
    expect(promotions.length).toBeLessThan(60);
    await stop();
  });

  it('a demotion that was asked for gives the term to somebody else', async () => {
    await using nodes = new NodesOnALog();
    const group = new TestGroup();
    const { a, b, promotions, stop } = await failoverPair(nodes, group.members);
    group.giveTo(group.members[0]);
    await nodes.until(() => a.getRole() === 'leader' && a.hasLeaderLock());
    await nodes.pass(a.demote());
    await nodes.until(() => b.getRole() === 'leader' && b.hasLeaderLock());
    expect([promotions, group.steps]).toEqual([['a', 'b'], [0]]);
    // Alone, it is elected again and leads.
    group.isAlone = true;
    group.giveTo(group.members[0]);
    await nodes.until(() => a.getRole() === 'leader' && a.hasLeaderLock());
    await nodes.pass(a.demote());
    await nodes.until(() => a.getRole() === 'leader' && a.hasLeaderLock());
    await stop();
  });

  it('stops while a promotion is under way: it is over then', async () => {
    await using nodes = new NodesOnALog();
    const elections = [new TestElection(), new TestElection()] as const;
    const { a, stop } = await failoverPair(nodes, elections);
    nodes.log.fault = ({ operation }) => (operation === 'append' ? { delayMs: 3000 } : undefined);
    elections[0].give(3);
    await nodes.clock.advance(1000);
    await stop();
    const { length } = nodes.log.events;
    for (let i = 0; i < 600; i++) await nodes.clock.advance(10);
    expect([nodes.log.events.length, a.getRole()]).toEqual([length, 'leader']);
  });

  it('goes on when the watch of the election fails', async () => {
    await using nodes = new NodesOnALog();
    const elections = [new TestElection(), new TestElection()] as const;
    const watch = elections[0].watch.bind(elections[0]);
    let failures = 2;
    elections[0].watch = (options) => {
      if (failures-- > 0) throw new Error('lost');
      return watch(options);
    };
    const { a, stop } = await failoverPair(nodes, elections);
    elections[0].give(3);
    await nodes.until(() => a.getRole() === 'leader' && a.hasLeaderLock());
    await stop();
  });

  it('refuses options that are none', () => {
    const call = () => followElection({} as never, new TestElection(), { giveUpAfterMs: 1 });
    expect(call).toThrow(/giveUpAfterMs/);
  });
});
