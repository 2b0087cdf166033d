import { describe, expect, it } from 'vitest';
import { admit, decide, isMutating, type RequestFacts } from '../../src/proxy/routing.ts';

const WRITE: RequestFacts = { isMutating: true, isReplayable: true, isHop: false, waitedMs: 0, queueTimeoutMs: 10_000 };
const READ: RequestFacts = { ...WRITE, isMutating: false };

describe('routing', () => {
  it('knows the safe methods', () => {
    expect(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'get'].map(isMutating)).toEqual([false, false, false, false, false]);
    expect(['POST', 'PUT', 'PATCH', 'DELETE', 'PURGE'].every(isMutating)).toBe(true);
  });

  it('forwards, waits, and never passes a hop on', () => {
    expect(admit('local', 0)).toEqual({ action: 'forward' });
    expect(admit('local', 1)).toEqual({ action: 'forward' });
    expect(admit('remote', 0)).toEqual({ action: 'forward' });
    expect(admit('none', 0)).toEqual({ action: 'wait' });
    expect(admit('remote', 1)).toEqual({ action: 'refuse' });
    expect(admit('none', 1)).toEqual({ action: 'refuse' });
  });

  it('repeats what provably did not arrive', () => {
    expect(decide({ type: 'refused' }, WRITE)).toEqual({ action: 'retry' });
    expect(decide({ type: 'refused' }, READ)).toEqual({ action: 'retry' });
  });

  it('repeats a read whatever happened, and a write never once it may have arrived', () => {
    expect(decide({ type: 'broken' }, READ)).toEqual({ action: 'retry' });
    expect(decide({ type: 'stale' }, READ)).toEqual({ action: 'retry' });
    expect(decide({ type: 'broken' }, WRITE)).toEqual({
      action: 'fail',
      status: 503,
      code: 'PROXY_OUTCOME_UNKNOWN',
      untouched: false,
    });
    expect(decide({ type: 'timeout' }, WRITE)).toMatchObject({ action: 'fail', status: 504, untouched: false });
  });

  it('gives up when the time is over or the body is not at hand any more, and says that nothing was done', () => {
    for (const facts of [
      { ...WRITE, waitedMs: 10_000 },
      { ...WRITE, isReplayable: false },
    ])
      expect(decide({ type: 'refused' }, facts)).toMatchObject({
        action: 'fail',
        code: 'PROXY_UNREACHABLE',
        untouched: true,
      });
  });

  it('leaves repeating to the proxy that the client talks to', () => {
    expect(decide({ type: 'refused' }, { ...WRITE, isHop: true })).toEqual({ action: 'refuse' });
    expect(decide({ type: 'broken' }, { ...READ, isHop: true })).toEqual({ action: 'refuse' });
    expect(decide({ type: 'broken' }, { ...WRITE, isHop: true })).toMatchObject({ code: 'PROXY_OUTCOME_UNKNOWN' });
  });
});
