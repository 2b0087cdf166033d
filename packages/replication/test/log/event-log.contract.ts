/** What every EventLog must do, whatever is behind it. */
import { systemClock } from '@canopy/core';
import { type EventLog, isEventLog, type Json, type LogReadEvent, type ReadOptions } from '@canopy/replication';
import { eventually } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';

export interface LogSystem {
  /** Another node's way to the log of this name, which is made when missing. */
  open(name: string): Promise<EventLog>;
  /** A log that takes about twenty events of a thousand bytes each. */
  openSmall(name: string): Promise<EventLog>;
  close(): Promise<void>;
}

/** The code of the error that it fails with; undefined when it does not. */
export async function failure(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

export function line(event: LogReadEvent): string {
  if (event.type === 'event') return `${event.sequence} ${JSON.stringify(event.event)}`;
  if (event.type === 'caught-up') return `caught-up ${event.sequence}`;
  return event.type === 'trimmed' ? `trimmed ${event.first}` : event.type;
}

/** What a reader is told, until the test ends. */
export function record(log: EventLog, options: ReadOptions = {}): { seen: LogReadEvent[]; lines: () => string[] } {
  const seen: LogReadEvent[] = [];
  const end = new AbortController();
  const done = (async () => {
    for await (const event of log.read({ ...options, signal: end.signal })) seen.push(event);
  })();
  onTestFinished(async () => {
    end.abort();
    await done;
  });
  return { seen, lines: () => seen.map(line) };
}

const includes = (recorded: { lines: () => string[] }, wanted: string): Promise<unknown> =>
  eventually(() => recorded.lines().includes(wanted), { what: `"${wanted}" in ${recorded.lines()}` });

export function describeEventLogContract(name: string, makeSystem: () => Promise<LogSystem>): void {
  describe(`EventLog contract: ${name}`, () => {
    let system: LogSystem;
    let logs = 0;
    beforeAll(async () => {
      system = await makeSystem();
    });
    afterAll(() => system?.close());
    const fresh = async (): Promise<[EventLog, EventLog]> => {
      const log = `contract-${++logs}`;
      return [await system.open(log), await system.open(log)];
    };

    test('an empty log has no events, and a reader has caught up at once', async () => {
      const [log] = await fresh();
      expect(isEventLog(log)).toBe(true);
      expect(await log.info()).toMatchObject({ firstSequence: 1, lastSequence: 0 });
      await includes(record(log), 'caught-up 0');
    });

    test('events come back as they were, whatever JSON they are', async () => {
      const [log, other] = await fresh();
      const events: Json[] = [
        null,
        true,
        0.1,
        -1e300,
        '',
        'ä\u0000\ud83d\ude00\ud800',
        [],
        [[1], {}],
        { b: 1, a: { '': [null], $x: 'y' } },
        JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}'),
      ];
      for (const [index, event] of events.entries())
        expect(await log.append(event)).toEqual({ sequence: index + 1, duplicate: false });
      const { seen } = record(other);
      await eventually(() => seen.length === events.length + 1);
      expect(seen.flatMap((told) => (told.type === 'event' ? [told.event] : []))).toEqual(events);
      expect(Object.keys(events[9] as object)).toEqual(['__proto__', 'constructor']);
      expect(JSON.stringify(seen[8])).toContain('{"b":1,"a"');
      const first = seen[0] as Extract<LogReadEvent, { type: 'event' }>;
      expect(first.topic).toBe('');
      expect(first.storedAt).toBeGreaterThanOrEqual((await log.info()).createdAt - 1000);
    });

    test('what JSON would change, and what is too large, is refused; the log stays as it was', async () => {
      const [log] = await fresh();
      const cyclic: unknown[] = [];
      cyclic.push(cyclic);
      const invalid = [
        undefined,
        Number.NaN,
        1n,
        [undefined],
        new Date(0),
        new Map(),
        cyclic,
        () => {},
        { a: Symbol('x') },
      ];
      for (const event of [...invalid, 'x'.repeat(1024 * 1024)])
        expect(await failure(log.append(event as Json))).toBe('EVENT_INVALID');
      for (const topic of ['a..b', '.a', 'a b', 'a.*', 'ä', 'x'.repeat(201)])
        expect(await failure(log.append(1, { topic }))).toBe('EVENT_INVALID');
      expect((await log.info()).lastSequence).toBe(0);
      expect((await log.append({ a: 1, b: undefined } as unknown as Json)).sequence).toBe(1);
    });

    test('an append with an expected end is taken only there', async () => {
      const [log, other] = await fresh();
      expect((await log.append('a', { expectedLastSequence: 0 })).sequence).toBe(1);
      expect(await failure(other.append('x', { expectedLastSequence: 0 }))).toBe('EVENT_LOG_CONFLICT');
      expect(await failure(other.append('x', { expectedLastSequence: 2 }))).toBe('EVENT_LOG_CONFLICT');
      expect((await other.append('b', { expectedLastSequence: 1, topic: 't' })).sequence).toBe(2);
      expect(await failure(log.append('x', { expectedLastSequence: 1 }))).toBe('EVENT_LOG_CONFLICT');
      expect((await log.info()).lastSequence).toBe(2);
    });

    test('of two who append at the same end one succeeds', async () => {
      const logs = await fresh();
      for (let end = 0; end < 20; end++) {
        const outcomes = await Promise.all(logs.map((log) => failure(log.append(end, { expectedLastSequence: end }))));
        expect(outcomes.toSorted()).toEqual(['EVENT_LOG_CONFLICT', undefined]);
      }
    });

    test('an id is taken once, by whomever it is sent again', async () => {
      const [log, other] = await fresh();
      await log.append('a', { messageId: 'm1', expectedLastSequence: 0 });
      await log.append('b', { messageId: 'm2' });
      await log.append('c');
      for (const again of [log, other]) {
        expect(await again.append('b', { messageId: 'm2' })).toEqual({ sequence: 2, duplicate: true });
        // Repeated as it was, after its outcome was not known: the end that it expected has passed, because of itself.
        expect(await again.append('a', { messageId: 'm1', expectedLastSequence: 0 })).toEqual({
          sequence: 1,
          duplicate: true,
        });
        expect(await again.append('b', { messageId: 'm2', expectedLastSequence: 3 })).toEqual({
          sequence: 2,
          duplicate: true,
        });
        expect(await failure(again.append('x', { messageId: 'm3', expectedLastSequence: 0 }))).toBe(
          'EVENT_LOG_CONFLICT',
        );
      }
      expect((await log.info()).lastSequence).toBe(3);
    });

    test('appends that are begun together enter in the order of their calls', async () => {
      const [log, other] = await fresh();
      const appends = [log, other].map((each) => Array.from({ length: 200 }, (_, n) => each.append(n)));
      const [mine, theirs] = await Promise.all(appends.map((each) => Promise.all(each)));
      for (const results of [mine, theirs]) {
        const sequences = (results ?? []).map(({ sequence }) => sequence);
        expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
      }
      await log.send(['x', 'y', 'z']);
      const { seen, lines } = record(log, { after: 400 });
      await eventually(() => seen.length === 4);
      expect(lines()).toEqual(['401 "x"', '402 "y"', '403 "z"', 'caught-up 403']);
    });

    test('a chain of appends, each expecting the one before, may be begun at once', async () => {
      const [log, other] = await fresh();
      const chain = (from: number, length: number): Promise<(string | undefined)[]> =>
        Promise.all(
          Array.from({ length }, (_, n) => failure(log.append(from + n, { expectedLastSequence: from + n }))),
        );
      expect(new Set(await chain(0, 50))).toEqual(new Set([undefined]));
      await other.append('somebody else');
      expect(new Set(await chain(50, 20))).toEqual(new Set(['EVENT_LOG_CONFLICT']));
      expect((await log.info()).lastSequence).toBe(51);
    });

    test('a reader begins where it says, is told once when it has caught up, and hears what follows', async () => {
      const [log, other] = await fresh();
      for (const event of ['a', 'b', 'c']) await log.append(event);
      const all = record(other);
      const rest = record(other, { after: 2 });
      await includes(all, 'caught-up 3');
      await includes(rest, 'caught-up 3');
      for (const event of ['d', 'e']) await log.append(event);
      await includes(all, '5 "e"');
      await includes(rest, '5 "e"');
      expect(all.lines()).toEqual(['1 "a"', '2 "b"', '3 "c"', 'caught-up 3', '4 "d"', '5 "e"']);
      expect(rest.lines()).toEqual(['3 "c"', 'caught-up 3', '4 "d"', '5 "e"']);
    });

    test('a reader hears what its filter matches, and catches up also where nothing matches', async () => {
      const [log, other] = await fresh();
      for (const topic of ['m1.a', 'm2.a', 'm1.b.c', 'm2.b', '']) await log.append(topic, { topic });
      const filters = ['m1.a', 'm1.>', '*.a', '*', '>', 'none'];
      const readers = filters.map((topic) => record(other, { topic }));
      for (const reader of readers) await includes(reader, 'caught-up 5');
      await log.append('m1.a', { topic: 'm1.a' });
      await log.append('last');
      await includes(readers[0] as (typeof readers)[0], '6 "m1.a"');
      const heard = (at: number): string[] =>
        (readers[at]?.seen ?? []).flatMap((told) => (told.type === 'event' ? [`${told.sequence} ${told.topic}`] : []));
      await eventually(() => heard(2).length === 3);
      await eventually(() => heard(4).length === 5);
      await eventually(() => heard(1).length === 3);
      expect(filters.map((_, at) => heard(at))).toEqual([
        ['1 m1.a', '6 m1.a'],
        ['1 m1.a', '3 m1.b.c', '6 m1.a'],
        ['1 m1.a', '2 m2.a', '6 m1.a'],
        [],
        ['1 m1.a', '2 m2.a', '3 m1.b.c', '4 m2.b', '6 m1.a'],
        [],
      ]);
      for (const topic of ['a..b', '>.a', 'a b', ''])
        expect(await failure((async () => Array.fromAsync(log.read({ topic })))())).toBe('OPTIONS_INVALID');
    });

    test('a trim takes the front, never the last event, and readers are told', async () => {
      const [log, other] = await fresh();
      for (let n = 1; n <= 6; n++) await log.append(n);
      const before = record(other);
      await includes(before, 'caught-up 6');
      await log.trim(3);
      await log.trim(1);
      expect(await log.info()).toMatchObject({ firstSequence: 4, lastSequence: 6 });
      const [front, behind, at] = [record(other), record(other, { after: 2 }), record(other, { after: 3 })];
      for (const reader of [front, behind, at]) await includes(reader, 'caught-up 6');
      expect(front.lines()).toEqual(['trimmed 4', '4 4', '5 5', '6 6', 'caught-up 6']);
      expect(behind.lines()).toEqual(['trimmed 4', '4 4', '5 5', '6 6', 'caught-up 6']);
      expect(at.lines()).toEqual(['4 4', '5 5', '6 6', 'caught-up 6']);
      await log.trim(100);
      expect(await log.info()).toMatchObject({ firstSequence: 6, lastSequence: 6 });
      expect((await log.append(7, { expectedLastSequence: 6 })).sequence).toBe(7);
      await includes(before, '7 7');
      expect(before.lines().filter((told) => told.startsWith('trimmed'))).toEqual([]);
    });

    test('a reader that a trim overtakes is told, and what it gets has no other gap', async () => {
      const [log, other] = await fresh();
      const total = 3000;
      await Promise.all(Array.from({ length: total }, (_, n) => log.append(n + 1)));
      let last = 0;
      let allowed = 0;
      let trims = 0;
      for await (const event of other.read()) {
        if (event.type === 'caught-up') break;
        if (event.type === 'trimmed') [trims, allowed] = [trims + 1, event.first];
        if (event.type !== 'event') continue;
        if (event.sequence !== last + 1) expect(event.sequence).toBe(allowed);
        last = event.sequence;
        if (last === 10) await log.trim(total - 5);
      }
      expect(last).toBe(total);
      expect(trims).toBe(1);
    });

    test('a slow reader gets everything', async () => {
      const [log, other] = await fresh();
      const total = 2000;
      await Promise.all(Array.from({ length: total }, (_, n) => log.append({ n, filler: 'x'.repeat(200) })));
      let count = 0;
      for await (const event of other.read()) {
        if (event.type === 'caught-up') break;
        if (event.type !== 'event') continue;
        count += 1;
        expect(event.sequence).toBe(count);
        if (count % 400 === 0) await systemClock.sleep(20);
      }
      expect(count).toBe(total);
    });

    test('reading ends with its signal, also one that has aborted before, and by leaving it', async () => {
      const [log] = await fresh();
      await log.append(1);
      expect(await Array.fromAsync(log.read({ signal: AbortSignal.abort() }))).toEqual([]);
      const end = new AbortController();
      const reading = Array.fromAsync(log.read({ signal: end.signal }));
      await systemClock.sleep(20);
      end.abort();
      expect((await reading).map(line)).toEqual(['1 1', 'caught-up 1']);
      for await (const event of log.read()) if (event.type === 'caught-up') break;
    });

    test('a call ends with its signal', async () => {
      const [log] = await fresh();
      const reason = new Error('enough');
      await expect(log.append(1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      await expect(log.info({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      expect((await log.info()).lastSequence).toBe(0);
    });

    test('a full log refuses, and takes again when it was trimmed', async () => {
      const log = await system.openSmall('small');
      const filler = 'x'.repeat(1000);
      let code: string | undefined;
      for (let n = 0; n < 100 && code === undefined; n++) code = await failure(log.append(filler));
      expect(code).toBe('EVENT_LOG_FULL');
      const { lastSequence } = await log.info();
      expect(lastSequence).toBeGreaterThan(5);
      await log.trim(lastSequence);
      expect((await log.append(filler, { expectedLastSequence: lastSequence })).sequence).toBe(lastSequence + 1);
    });
  });
}
