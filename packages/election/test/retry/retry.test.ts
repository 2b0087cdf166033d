import { CanopyError } from '@canopy/core';
import { seededRandom, VirtualClock } from '@canopy/core/testing';
import { natsErrors } from '@canopy/nats';
import { describe, expect, it } from 'vitest';
import { CircuitBreaker, electionErrors, failureKind, isPermanent, isTransient, retry } from '../../src/index.ts';

describe('classification', () => {
  it.each([
    ['KV_CONFLICT', 'permanent'],
    ['KV_BUCKET_MISSING', 'permanent'],
    ['NATS_PERMISSION', 'permanent'],
    ['NATS_AUTH', 'permanent'],
    ['NATS_CLOSED', 'permanent'],
    ['NATS_UNREACHABLE', 'transient'],
    ['JETSTREAM_UNAVAILABLE', 'transient'],
    ['BUCKET_FULL', 'transient'],
  ] as const)('of %s is %s', (code, kind) => {
    expect(failureKind(natsErrors.create(code))).toBe(kind);
  });

  it('goes by codes, never by texts', () => {
    expect(failureKind(new Error('permission denied: revision mismatch, invalid'))).toBe('transient');
    expect(failureKind(new CanopyError('DEADLINE_EXCEEDED', 'permission denied', { retryable: true }))).toBe(
      'transient',
    );
    expect(failureKind(electionErrors.create('ELECTION_NOT_LEADER'))).toBe('permanent');
    expect(isTransient('just a text')).toBe(true);
  });

  it('never calls an abort permanent', () => {
    expect(isPermanent(new DOMException('stop', 'AbortError'))).toBe(false);
    expect(isPermanent(new DOMException('late', 'TimeoutError'))).toBe(false);
  });
});

describe('retry', () => {
  const env = () => ({ clock: new VirtualClock(), random: seededRandom('retry') });
  const passing = () => natsErrors.create('JETSTREAM_UNAVAILABLE', { operation: 'x' });

  it('waits 50 ms, doubling up to 5 s, a fifth of it by chance', async () => {
    const { clock, random } = env();
    const at: number[] = [];
    const abort = new AbortController();
    const trying = retry(
      async () => {
        at.push(clock.monotonic());
        throw passing();
      },
      { signal: abort.signal },
      { clock, random },
    );
    trying.catch(() => {});
    await clock.advance(60_000);
    abort.abort(new Error('stopped'));
    await expect(trying).rejects.toThrow('stopped');
    const waits = at.slice(1).map((time, i) => time - (at[i] as number));
    for (const [i, wait] of waits.entries()) {
      const full = Math.min(5000, 50 * 2 ** i);
      expect(wait).toBeGreaterThanOrEqual(full * 0.8);
      expect(wait).toBeLessThanOrEqual(full);
    }
    expect(waits.length).toBeGreaterThan(10);
  });

  it('gives up after the attempts, and at once on what is permanent', async () => {
    const { clock, random } = env();
    let calls = 0;
    const trying = retry(
      async () => {
        calls += 1;
        throw passing();
      },
      { attempts: 3 },
      { clock, random },
    );
    trying.catch(() => {});
    await clock.advance(1000);
    await expect(trying).rejects.toMatchObject({ code: 'JETSTREAM_UNAVAILABLE' });
    expect(calls).toBe(3);
    const denied = retry(
      () => Promise.reject(natsErrors.create('NATS_PERMISSION')),
      { attempts: 9 },
      { clock, random },
    );
    await expect(denied).rejects.toMatchObject({ code: 'NATS_PERMISSION' });
  });

  it('gives what the first good try gives', async () => {
    const { clock, random } = env();
    const trying = retry(
      (attempt) => (attempt < 2 ? Promise.reject(passing()) : Promise.resolve(attempt)),
      { attempts: 5 },
      { clock, random },
    );
    await clock.advance(1000);
    expect(await trying).toBe(2);
  });
});

describe('the breaker', () => {
  const failing = () => Promise.reject(new Error('no'));

  it('opens after failures in a row, lets one through after the cooldown, and closes when that succeeds', async () => {
    const clock = new VirtualClock();
    const breaker = new CircuitBreaker({ name: 'bucket', threshold: 3, cooldownMs: 1000 }, clock);
    let calls = 0;
    const call = (work: () => Promise<unknown>) =>
      breaker.run(() => {
        calls += 1;
        return work();
      });
    await call(failing).catch(() => {});
    await call(async () => 'well');
    for (let i = 0; i < 3; i++) await call(failing).catch(() => {});
    expect([breaker.state, calls]).toEqual(['open', 5]);
    await expect(call(failing)).rejects.toMatchObject({ code: 'CIRCUIT_OPEN', fields: { retryInMs: 1000 } });
    expect(calls).toBe(5);
    await clock.advance(1000);
    expect(breaker.state).toBe('half-open');
    const probe = Promise.withResolvers<string>();
    const probing = call(() => probe.promise);
    // One at a time while half open.
    await expect(call(failing)).rejects.toMatchObject({ code: 'CIRCUIT_OPEN' });
    probe.resolve('well');
    await probing;
    expect([breaker.state, calls]).toEqual(['closed', 6]);
  });

  it('does not listen to calls that began before it opened', async () => {
    const clock = new VirtualClock();
    const breaker = new CircuitBreaker({ name: 'bucket', threshold: 1, cooldownMs: 1000 }, clock);
    const slow = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
    const early = slow.map(({ promise }) => breaker.run(() => promise).catch(() => {}));
    await breaker.run(failing).catch(() => {});
    slow[0].resolve();
    await early[0];
    expect(breaker.state).toBe('open');
    await clock.advance(1000);
    const probe = Promise.withResolvers<void>();
    const probing = breaker.run(() => probe.promise);
    slow[1].reject(new Error('late'));
    await early[1];
    expect(breaker.state).toBe('half-open');
    await expect(breaker.run(failing)).rejects.toMatchObject({ code: 'CIRCUIT_OPEN' });
    probe.resolve();
    await probing;
    expect(breaker.state).toBe('closed');
  });

  it('opens again when the probe fails, and does not count what it is told not to', async () => {
    const clock = new VirtualClock();
    const isFailure = (error: unknown) => error !== 'an answer';
    const breaker = new CircuitBreaker({ name: 'bucket', threshold: 1, cooldownMs: 1000, isFailure }, clock);
    await breaker.run(() => Promise.reject('an answer')).catch(() => {});
    expect(breaker.state).toBe('closed');
    await breaker.run(failing).catch(() => {});
    await clock.advance(1000);
    await breaker.run(failing).catch(() => {});
    expect(breaker.state).toBe('open');
  });
});
