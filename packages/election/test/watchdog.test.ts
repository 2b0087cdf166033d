import { noMetrics, noTracer, silentLogger } from '@canopy/core';
import { seededRandom, VirtualClock } from '@canopy/core/testing';
import { MemoryNats } from '@canopy/nats/memory';
import { describe, expect, it } from 'vitest';
import { Election, type ElectionOptions, type LeaseWatchdog } from '../src/index.ts';

const TTL = 3000;

class TestWatchdog implements LeaseWatchdog {
  readonly calls: string[] = [];
  readonly deadlines: number[] = [];
  controller = new AbortController();
  answer: () => Promise<void> = async () => {};

  hold(lease: { bucket: string; key: string; revision: number; deadline: number }): Promise<void> {
    this.calls.push(`hold ${lease.bucket} ${lease.key} ${lease.revision}`);
    this.deadlines.push(lease.deadline);
    return this.answer();
  }

  get lost(): AbortSignal {
    return this.controller.signal;
  }

  async clear(): Promise<void> {
    this.calls.push('clear');
  }
}

async function world(options: Partial<ElectionOptions> = {}) {
  const clock = new VirtualClock();
  const kv = await new MemoryNats({ clock }).session().ensureKv('elections');
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
    const { clock, watchdog, election, start } = await world();
    const known = Promise.withResolvers<void>();
    watchdog.answer = () => known.promise;
    await start();
    expect([watchdog.calls, election.isLeader]).toEqual([['hold elections g 1'], false]);
    known.resolve();
    await clock.advance(1);
    expect(election.isLeader).toBe(true);
    await election.stop();
  });

  it('hears nothing of a lease that was given up before it could be told', async () => {
    const clock = new VirtualClock();
    const hub = new MemoryNats({ clock });
    const watchdog = new TestWatchdog();
    const env = { clock, random: seededRandom(1), log: silentLogger, metrics: noMetrics, tracer: noTracer };
    const election = new Election(
      { session: hub.session(), bucket: 'elections', group: 'g', instanceId: 'a', ttl: TTL, watchdog },
      env,
    );
    // The record of epochs answers late, and the term waits for it.
    let led = false;
    hub.fault = (call) => (call.bucket === 'elections_epochs' && led ? { answerDelayMs: 300 } : undefined);
    await Promise.all([election.start(), clock.advance(100)]);
    await Promise.all([election.stepDown({ holdOffMs: 500 }), clock.advance(100)]);
    watchdog.calls.length = 0;
    led = true;
    await clock.advance(600);
    expect(await (await hub.session().kv('elections')).get('g')).toBeDefined();
    const stopping = election.stop();
    await clock.advance(5000);
    await stopping;
    expect(watchdog.calls).toEqual(['clear']);
  });

  it('hears every renewal, and is cleared before the release', async () => {
    const { clock, watchdog, election, start } = await world();
    await start();
    await clock.advance(2500);
    expect(watchdog.calls.slice(0, 3)).toEqual(['hold elections g 1', 'hold elections g 2', 'hold elections g 3']);
    expect(watchdog.deadlines).toEqual([...watchdog.deadlines].sort((a, b) => a - b));
    expect(watchdog.deadlines.at(-1)).toBe(election.leadership?.deadline());
    await election.stop();
    expect(watchdog.calls.slice(-2)).toEqual(['clear', 'release 3']);
  });

  it('that cannot guard costs the lease: released, and tried again after a rest', async () => {
    const { clock, kv, watchdog, election, start } = await world();
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
    const { clock, kv, watchdog, election, start } = await world();
    watchdog.answer = () => new Promise(() => {});
    await start();
    await clock.advance(TTL);
    expect([election.isLeader, await kv.get('g')]).toEqual([false, undefined]);
    await election.stop();
  });

  it('that is lost ends the term: hooks first, then the release; the next term needs a new one', async () => {
    const { clock, watchdog, election, start } = await world();
    election.onDemote(({ reason }) => void watchdog.calls.push(`demoted ${reason}`));
    await start();
    const { leadership } = election;
    watchdog.controller.abort();
    expect([election.isLeader, leadership?.signal.aborted]).toEqual([false, true]);
    watchdog.answer = async () => {
      throw new Error('still gone');
    };
    await clock.advance(10);
    expect(watchdog.calls.slice(-3)).toEqual(['demoted warden_lost', 'clear', 'release 1']);
    await clock.advance(2 * TTL);
    expect(election.isLeader).toBe(false);
    watchdog.controller = new AbortController();
    watchdog.answer = async () => {};
    await clock.advance(2 * TTL);
    expect(election.isLeader).toBe(true);
    watchdog.controller.abort();
    expect(election.isLeader).toBe(false);
    await Promise.all([election.stop(), clock.advance(10)]);
  });

  it('that refuses a renewal ends the term', async () => {
    const { clock, watchdog, election, start } = await world();
    await start();
    watchdog.answer = async () => {
      throw new Error('fenced');
    };
    const { leadership } = election;
    await clock.advance(1500);
    expect(leadership?.signal.reason).toMatchObject({ fields: { reason: 'warden_lost' } });
    await Promise.all([election.stop(), clock.advance(10)]);
  });

  it('is not cleared when the hooks did not end: what still runs is fenced at the deadline', async () => {
    const { clock, watchdog, election, start } = await world({ hookTimeout: 200 });
    election.onDemote(() => new Promise(() => {}));
    await start();
    await Promise.all([election.stop(), clock.advance(300)]);
    expect(watchdog.calls).not.toContain('clear');
  });
});
