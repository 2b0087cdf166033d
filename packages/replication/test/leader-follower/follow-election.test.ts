import { Broadcast } from '@canopy/core';
import { followElection, type LeaderTerm, type WatchedElection } from '@canopy/replication';
import { expect, it } from 'vitest';
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

it('a manager leads exactly while its election says so, and failed promotions are tried again', async () => {
  await using nodes = new NodesOnALog();
  const elections = [new TestElection(), new TestElection()] as const;
  const a = await nodes.started('a', 'follower', { election: elections[0] });
  const b = await nodes.started('b', 'follower', { election: elections[1] });
  const stops = [followElection(a, elections[0], nodes.env), followElection(b, elections[1], nodes.env)];
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
  await nodes.pass(Promise.all(stops.map((stop) => stop())));
  elections[1].take();
  await nodes.until(() => b.getRole() === 'follower');
});
