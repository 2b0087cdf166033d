import { settle } from '@canopy/core/testing';
import { describe, expect, test } from 'vitest';
import { StoredWaiters, type WalMark } from '../../src/primary/stored-waiters.ts';

const at = (offset: number, wal = 1): WalMark => ({ salt1: wal, salt2: 7, offset });
const fine = (): void => {};

/** Keeps what became of each waiter. */
function watched(waiters: StoredWaiters<string>): { state: string } {
  const outcome = { state: 'waits' };
  waiters.add().then(
    (value) => (outcome.state = value),
    (error: Error) => (outcome.state = error.message),
  );
  return outcome;
}

describe('StoredWaiters', () => {
  test('a backlog that never drains: settled by the entry that reaches what was committed at the call', async () => {
    const waiters = new StoredWaiters<string>();
    const first = watched(waiters);
    waiters.begin(() => at(500), at(100));
    waiters.stored(at(400), 'too early', fine);
    waiters.again();
    const second = watched(waiters);
    waiters.begin(() => at(900), at(400));
    waiters.stored(at(600), 'reached', fine);
    waiters.again();
    await settle();
    expect([first.state, second.state]).toEqual(['reached', 'waits']);
    waiters.begin(() => at(5000), at(600));
    waiters.stored(at(900), 'also reached', fine);
    await settle();
    expect(second.state).toBe('also reached');
  });

  test('who comes while a pass is under way is not told by what it stores', async () => {
    const waiters = new StoredWaiters<string>();
    waiters.begin(() => at(500), undefined);
    const late = watched(waiters);
    waiters.stored(at(9000), 'stored', fine);
    waiters.end('ended');
    await settle();
    expect(late.state).toBe('waits');
    expect(waiters.isEmpty).toBe(false);
  });

  test('who knows the end at the call is told by the entry under way, if that reaches it', async () => {
    const waiters = new StoredWaiters<string>();
    waiters.begin(() => at(500), undefined);
    const outcomes = [400, 600].map((mark) => {
      const outcome = { state: 'waits' };
      waiters.add(at(mark), at(100)).then((value) => (outcome.state = value));
      return outcome;
    });
    waiters.stored(at(500), 'under way', fine);
    waiters.end('ended');
    await settle();
    expect(outcomes.map(({ state }) => state)).toEqual(['under way', 'waits']);
    waiters.begin(() => at(9000), at(500));
    waiters.stored(at(600), 'next', fine);
    await settle();
    expect(outcomes[1]?.state).toBe('next');
  });

  test('a WAL begun anew lies behind all of the one before, and only if an entry of that one was stored', async () => {
    const waiters = new StoredWaiters<string>();
    const one = watched(waiters);
    waiters.begin(() => at(500, 1), at(300, 1));
    waiters.stored(at(100, 2), 'next WAL', fine);
    await settle();
    expect(one.state).toBe('next WAL');

    const other = watched(waiters);
    waiters.begin(() => at(200, 3), at(100, 2));
    waiters.stored(at(9000, 2), 'the WAL before', fine);
    waiters.again();
    await settle();
    expect(other.state).toBe('waits');
    waiters.begin(fine as never, at(9000, 2));
    waiters.stored(at(100, 3), 'not yet', fine);
    waiters.stored(at(50, 4), 'the WAL after', fine);
    await settle();
    expect(other.state).toBe('the WAL after');
  });

  test('without a mark only the end of a pass settles, and the mark is asked for again', async () => {
    const waiters = new StoredWaiters<string>();
    const one = watched(waiters);
    waiters.begin(() => undefined, undefined);
    waiters.stored(at(9000), 'stored', fine);
    waiters.again();
    await settle();
    expect(one.state).toBe('waits');
    waiters.begin(() => at(100), at(9000));
    waiters.stored(at(100), 'marked', fine);
    await settle();
    expect(one.state).toBe('marked');
    const other = watched(waiters);
    waiters.begin(() => undefined, undefined);
    waiters.end('nothing left');
    await settle();
    expect(other.state).toBe('nothing left');
  });

  test('nobody is told when the look before it fails; all hear of the failure', async () => {
    const waiters = new StoredWaiters<string>();
    const one = watched(waiters);
    waiters.begin(() => at(100), undefined);
    const replaced = (): void => {
      throw new Error('replaced');
    };
    expect(() => waiters.stored(at(50), 'stored', replaced)).not.toThrow();
    expect(() => waiters.stored(at(100), 'stored', replaced)).toThrow('replaced');
    const late = watched(waiters);
    waiters.fail(new Error('over'));
    await settle();
    expect([one.state, late.state]).toEqual(['over', 'over']);
  });
});
