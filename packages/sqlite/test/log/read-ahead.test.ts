import { epoch } from '@canopy/core';
import { describe, expect, test } from 'vitest';
import { type LogEntry, segmentName } from '../../src/log/names.ts';
import { type EntrySource, type FetchedEntry, type FetchOptions, readAhead } from '../../src/log/read-ahead.ts';

const KB = 1024;

function entryOf(txid: number, size: number): LogEntry {
  return {
    level: 0,
    minTxid: txid,
    maxTxid: txid,
    name: segmentName(txid),
    revision: txid,
    size,
    epoch: epoch(1),
    node: 'a',
    kind: 'commit',
    timestamp: 0,
    storedAt: 0,
    digest: undefined,
    walEnd: undefined,
    note: undefined,
  };
}

/** Answers when it is told to, and remembers what was asked of it. */
class SlowSource implements EntrySource {
  readonly asked: string[] = [];
  readonly aborted: string[] = [];
  readonly #answers = new Map<string, PromiseWithResolvers<FetchedEntry | undefined>>();

  async fetchEntry(name: string, { signal }: FetchOptions = {}): Promise<FetchedEntry | undefined> {
    this.asked.push(name);
    const answer = Promise.withResolvers<FetchedEntry | undefined>();
    this.#answers.set(name, answer);
    signal?.addEventListener('abort', () => {
      this.aborted.push(name);
      answer.reject(signal.reason);
    });
    return answer.promise;
  }

  answer(entry: LogEntry): void {
    this.#answers.get(entry.name)?.resolve({ entry, bytes: new Uint8Array(0), decode: () => expect.fail() });
  }

  fail(entry: LogEntry, error: Error): void {
    this.#answers.get(entry.name)?.reject(error);
  }
}

const names = (entries: readonly LogEntry[]): string[] => entries.map(({ name }) => name);

describe('readAhead', () => {
  test('at most 32 objects and 8 MiB are under way, and every turn comes in order, however the answers come', async () => {
    const entries = Array.from({ length: 100 }, (_, i) => entryOf(i + 1, i < 60 ? 100 : 900 * KB));
    const source = new SlowSource();
    const seen: string[] = [];
    let answered = 0;
    let most = 0;
    let mostBytes = 0;
    for await (const { entry, fetched } of readAhead(source, entries)) {
      const waiting = entries.slice(answered, source.asked.length);
      most = Math.max(most, waiting.length);
      mostBytes = Math.max(
        mostBytes,
        waiting.reduce((sum, { size }) => sum + size, 0),
      );
      // The last one first.
      for (const one of waiting.toReversed()) source.answer(one);
      answered = seen.length + 1;
      expect((await fetched)?.entry).toBe(entry);
      seen.push(entry.name);
    }
    expect(seen).toEqual(names(entries));
    expect(source.asked).toEqual(names(entries));
    expect(most).toBe(32);
    expect(mostBytes).toBeLessThanOrEqual(8 * KB * KB);
    expect(mostBytes).toBeGreaterThan(6 * KB * KB);
  });

  test('large objects are left to their reader, and what follows them is fetched meanwhile', async () => {
    const entries = [entryOf(1, 3 * KB * KB), entryOf(2, 10), entryOf(3, 2 * KB * KB), entryOf(4, 10)];
    const source = new SlowSource();
    const large: string[] = [];
    for await (const { entry, fetched } of readAhead(source, entries)) {
      expect(source.asked).toEqual(names([entryOf(2, 10), entryOf(4, 10)]));
      if (fetched === undefined) large.push(entry.name);
      else source.answer(entry);
      await fetched;
    }
    expect(large).toEqual([segmentName(1), segmentName(3)]);
  });

  test('one failure shows at its turn, not earlier, and ends everything else', async () => {
    const entries = Array.from({ length: 40 }, (_, i) => entryOf(i + 1, 10));
    const source = new SlowSource();
    const done: string[] = [];
    const run = async (): Promise<void> => {
      for await (const { entry, fetched } of readAhead(source, entries)) {
        if (done.length === 0) source.fail(entries[2] as LogEntry, new Error('damaged'));
        if (entry !== entries[2]) source.answer(entry);
        await fetched;
        done.push(entry.name);
      }
    };
    await expect(run()).rejects.toThrow('damaged');
    expect(done).toEqual(names(entries.slice(0, 2)));
    // 32 under way at the third turn, which had fetched two more by then.
    expect(source.asked).toHaveLength(34);
    expect(source.aborted).toEqual(expect.arrayContaining(names(entries.slice(3, 34))));
  });

  test('an abort ends all that is under way, and is the error', async () => {
    const entries = Array.from({ length: 5 }, (_, i) => entryOf(i + 1, 10));
    const source = new SlowSource();
    const order = new AbortController();
    const run = async (): Promise<void> => {
      for await (const { fetched } of readAhead(source, entries, { signal: order.signal })) {
        order.abort(new Error('enough'));
        await fetched;
      }
    };
    await expect(run()).rejects.toThrow('enough');
    expect(source.aborted).toEqual(expect.arrayContaining(names(entries)));
  });
});
