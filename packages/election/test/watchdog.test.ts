import { noMetrics, noTracer, silentLogger } from '@canopy/core';
import { seededRandom, VirtualClock } from '@canopy/core/testing';
import { describe, expect, it } from 'vitest';
import { Election, type ElectionOptions, type LeaseWatchdog } from '../src/index.ts';
import { TinyKv } from './tiny-kv.ts';

const TTL = 3000;

class TestWatchdog implements LeaseWatchdog {
  readonly calls: string[] = [];
  readonly deadlines: number[] = [];
  readonly controller = new AbortController();
  readonly lost = this.controller.signal;
  answer: () => Promise<void> = async () => {};

  hold(lease: { bucket: string; key: string; revision: number; deadline: number }): Promise<void> {
    this.calls.push(`hold ${lease.bucket} ${lease.key} ${lease.revision}`);
    this.deadlines.push(lease.deadline);
    return this.answer();
  }

  async clear(): Promise<void> {
    this.calls.push('clear');
  }
}

function world(options: Partial<ElectionOptions> = {}) {
  const clock = new VirtualClock();
  const kv = new TinyKv();
  const watchdog = new TestWatchdog();
  const env = { clock, random: seededRandom(1), log: silentLogger, metrics: noMetrics, tracer: noTracer };
  const election = new Election({ kv, group: 'g', instanceId: 'a', ttl: TTL, watchdog, ...options }, env);
  const remove = kv.delete.bind(kv);
  kv.delete = (key, revision) => {
    watchdog.calls.push(`release ${revision}`);
    return remove(key, revision);
  };
  const start = async (): Promise<void> => {
    await Promise.all([election.start(), clock.advance(100)]);
  };
  return { clock, kv, watchdog, election, start };
}

describe('the watchdog', () => {
  it('knows the lease before leadership begins', async () => {
    const { clock, watchdog, election, start } = world();
    const known = Promise.withResolvers<void>();
    watchdog.answer = () => known.promise;
    await start();
    expect([watchdog.calls, election.isLeader]).toEqual([['hold elections g 1'], false]);
    known.resolve();
    await clock.advance(1);
    expect(election.isLeader).toBe(true);
    await election.stop();
  });

  it('hears every renewal, and is cleared before the release', async () => {
    const { clock, watchdog, election, start } = world();
    await start();
    await clock.advance(2500);
    expect(watchdog.calls.slice(0, 3)).toEqual(['hold elections g 1', 'hold elections g 2', 'hold elections g 3']);
    expect(watchdog.deadlines).toEqual([...watchdog.deadlines].sort((a, b) => a - b));
    expect(watchdog.deadlines.at(-1)).toBe(election.leadership?.deadline());
    await election.stop();
    expect(watchdog.calls.slice(-2)).toEqual(['clear', 'release 3']);
  });

  it('that cannot guard costs the lease: released, and tried again after a rest', async () => {
    const { clock, kv, watchdog, election, start } = world();
    watchdog.answer = async () => {
      throw new Error('no warden');
    };
    await start();
    expect([election.isLeader, await kv.get('g')]).toEqual([false, undefined]);
    watchdog.answer = async () => {};
    await clock.advance(1500);
    expect(election.isLeader).toBe(true);
    await election.stop();
  });

  it('that never answers costs the lease before it ends', async () => {
    const { clock, kv, watchdog, election, start } = world();
    watchdog.answer = () => new Promise(() => {});
    await start();
    await clock.advance(TTL);
    expect([election.isLeader, await kv.get('g')]).toEqual([false, undefined]);
    await election.stop();
  });

  it('that is lost ends the election: hooks first, then the release, and closed says why', async () => {
    const { clock, watchdog, election, start } = world();
    election.onDemote(({ reason }) => void watchdog.calls.push(`demoted ${reason}`));
    await start();
    const { leadership } = election;
    watchdog.controller.abort();
    expect([election.isLeader, leadership?.signal.aborted]).toEqual([false, true]);
    await clock.advance(10);
    expect(await election.closed).toMatchObject({ code: 'ELECTION_WATCHDOG_LOST' });
    expect(watchdog.calls.slice(-3)).toEqual(['demoted warden_lost', 'clear', 'release 1']);
  });

  it('is not cleared when the hooks did not end: what still runs is fenced at the deadline', async () => {
    const { clock, watchdog, election, start } = world({ hookTimeout: 200 });
    election.onDemote(() => new Promise(() => {}));
    await start();
    await Promise.all([election.stop(), clock.advance(300)]);
    expect(watchdog.calls).not.toContain('clear');
  });

  it('that is lost already refuses the start', async () => {
    const { watchdog, election } = world();
    watchdog.controller.abort();
    await expect(election.start()).rejects.toMatchObject({ code: 'ELECTION_WATCHDOG_LOST' });
  });
});
