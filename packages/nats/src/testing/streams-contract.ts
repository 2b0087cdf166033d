/** What every Stream must do, whatever is behind it. */
import { systemClock } from '@canopy/core';
import { describe, expect, test } from 'vitest';
import type { Stream, StreamDelivery, StreamReadEvent, StreamReadOptions } from '../streams/port.ts';
import { bytes, type ContractSystem, codeOf, Recorder, text, useSystem } from './system.ts';

/** One line per event, for comparing. */
function line(event: StreamReadEvent): string {
  if (event.type === 'message') return `${event.message.sequence} ${text(event.message.data)}`;
  if (event.type === 'caught-up') return `caught-up ${event.sequence}`;
  return event.type === 'trimmed' ? `trimmed ${event.first}` : event.type;
}

const reading = (stream: Stream, options: StreamReadOptions = {}): Recorder<StreamReadEvent> =>
  new Recorder((signal) => stream.read({ ...options, signal }));

const caughtUp = (event: StreamReadEvent): boolean => event.type === 'caught-up';

const at =
  (sequence: number) =>
  (event: StreamReadEvent): boolean =>
    event.type === 'message' && event.message.sequence === sequence;

export function describeStreamsContract(name: string, makeSystem: () => Promise<ContractSystem>): void {
  describe(`Streams contract: ${name}`, () => {
    const sessions = useSystem(makeSystem);
    const fresh = async (maxBytes?: number): Promise<Stream> => {
      const stream = sessions().bucket();
      const options = { subjects: [`${stream}.>`], ...(maxBytes === undefined ? {} : { maxBytes }) };
      return sessions().a.ensureStream(stream, options);
    };
    const add = async (stream: Stream, ...values: string[]): Promise<void> => {
      for (const value of values) await stream.append(`${stream.name}.x`, bytes(value));
    };

    test('a message is read back with its sequence, subject and headers', async () => {
      const stream = await fresh();
      const appended = await stream.append(`${stream.name}.a.b`, bytes('one'), { headers: { kind: 'first' } });
      expect(appended).toEqual({ sequence: 1, duplicate: false });
      const message = await stream.message(1);
      expect(message).toMatchObject({ sequence: 1, subject: `${stream.name}.a.b` });
      expect(text(message?.data)).toBe('one');
      expect(message?.header('kind')).toBe('first');
      expect(await stream.message(2)).toBeUndefined();
      expect((await stream.lastMessage(`${stream.name}.*.b`))?.sequence).toBe(1);
      expect(await stream.lastMessage(`${stream.name}.c`)).toBeUndefined();
      const info = await stream.info();
      expect(info).toMatchObject({ firstSequence: 1, lastSequence: 1, messages: 1 });
      expect(info.serverTime).toBeGreaterThanOrEqual(info.createdAt);
    });

    test('an id is taken once, an expected end decides', async () => {
      const stream = await fresh();
      const subject = `${stream.name}.x`;
      expect(await stream.append(subject, bytes('1'), { messageId: 'a', expectedLastSequence: 0 })).toEqual({
        sequence: 1,
        duplicate: false,
      });
      expect(await stream.append(subject, bytes('1'), { messageId: 'a' })).toEqual({ sequence: 1, duplicate: true });
      expect(await codeOf(stream.append(subject, bytes('2'), { expectedLastSequence: 0 }))).toBe('STREAM_CONFLICT');
      expect(await codeOf(stream.append(subject, bytes('2'), { expectedLastSequence: 7 }))).toBe('STREAM_CONFLICT');
      await stream.append(subject, bytes('2'), { messageId: 'b', expectedLastSequence: 1 });
      await add(stream, '3');
      // Repeated as it was: stored, although the end has moved on.
      expect(await stream.append(subject, bytes('2'), { messageId: 'b', expectedLastSequence: 1 })).toEqual({
        sequence: 2,
        duplicate: true,
      });
      expect(await codeOf(stream.append(subject, bytes('x'), { messageId: 'other', expectedLastSequence: 1 }))).toBe(
        'STREAM_CONFLICT',
      );
      expect((await stream.info()).lastSequence).toBe(3);
    });

    test('appends that are begun together are stored in the order of their calls', async () => {
      const stream = await fresh();
      const other = await sessions().b.stream(stream.name);
      const subject = `${stream.name}.x`;
      const mine = Array.from({ length: 700 }, (_, n) => stream.append(subject, bytes(`a${n}`)));
      const theirs = Array.from({ length: 300 }, (_, n) => other.append(subject, bytes(`b${n}`)));
      for (const appends of [mine, theirs]) {
        const sequences = (await Promise.all(appends)).map(({ sequence }) => sequence);
        expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
      }
      expect((await stream.info()).messages).toBe(1000);
    });

    test('conditional appends that are begun together build on each other, or fail as a suffix', async () => {
      const stream = await fresh();
      const subject = `${stream.name}.x`;
      const chain = (from: number, length: number): Promise<unknown>[] =>
        Array.from({ length }, (_, n) => stream.append(subject, bytes(`${n}`), { expectedLastSequence: from + n }));
      await Promise.all(chain(0, 50));
      const broken = [...chain(50, 5), ...chain(56, 5)].map(codeOf);
      expect(await Promise.all(broken)).toEqual([
        ...Array.from({ length: 5 }, () => undefined),
        ...Array.from({ length: 5 }, () => 'STREAM_CONFLICT'),
      ]);
      expect((await stream.info()).lastSequence).toBe(55);
      // Somebody else makes an end that the second expects: it is not the one that it was built on.
      await (await sessions().b.stream(stream.name)).append(subject, bytes('other'));
      expect(await Promise.all(chain(55, 5).map(codeOf))).toEqual(Array.from({ length: 5 }, () => 'STREAM_CONFLICT'));
      expect((await stream.info()).lastSequence).toBe(56);
      await Promise.all(chain(56, 5));
    });

    test('a reader gets everything once and in order, is told when it has caught up, and goes on', async () => {
      const stream = await fresh();
      await add(stream, 'a', 'b', 'c');
      const all = reading(stream);
      const rest = reading(await sessions().b.stream(stream.name), { after: 2 });
      await all.until(caughtUp);
      await rest.until(caughtUp);
      await add(stream, 'd');
      await all.until(at(4));
      await rest.until(at(4));
      await all.stop();
      await rest.stop();
      expect(all.events.map(line)).toEqual(['1 a', '2 b', '3 c', 'caught-up 3', '4 d']);
      expect(rest.events.map(line)).toEqual(['3 c', 'caught-up 3', '4 d']);
    });

    test('a reader of an empty stream, or at its end, has caught up at once', async () => {
      const stream = await fresh();
      const empty = reading(stream);
      expect(line(await empty.until(caughtUp))).toBe('caught-up 0');
      await add(stream, 'a');
      await empty.until(at(1));
      const end = reading(stream, { after: 1 });
      expect(line(await end.until(caughtUp))).toBe('caught-up 1');
      await empty.stop();
      await end.stop();
    });

    test('a filter lets through what matches, and the others do not keep a reader from catching up', async () => {
      const stream = await fresh();
      const put = (tail: string): Promise<unknown> => stream.append(`${stream.name}.${tail}`, bytes(tail));
      for (const tail of ['a.1', 'b.1', 'a.2', 'b.2', 'b.3']) await put(tail);
      const filtered = reading(stream, { filter: `${stream.name}.a.*` });
      expect(line(await filtered.until(caughtUp))).toBe('caught-up 5');
      await put('b.4');
      await put('a.3');
      await filtered.until(at(7));
      await filtered.stop();
      expect(filtered.events.map(line)).toEqual(['1 a.1', '3 a.2', 'caught-up 5', '7 a.3']);
    });

    test('what was purged is told as trimmed, and ids and ends outlive it', async () => {
      const stream = await fresh();
      await add(stream, 'a', 'b', 'c', 'd');
      expect(await stream.purge(2)).toBe(2);
      expect(await stream.info()).toMatchObject({ firstSequence: 3, lastSequence: 4, messages: 2 });
      const front = reading(stream);
      await front.until(caughtUp);
      const behind = reading(stream, { after: 2 });
      await behind.until(caughtUp);
      expect(front.events.map(line)).toEqual(['trimmed 3', '3 c', '4 d', 'caught-up 4']);
      expect(behind.events.map(line)).toEqual(['3 c', '4 d', 'caught-up 4']);
      expect(await stream.purge(4)).toBe(2);
      expect(await stream.info()).toMatchObject({ firstSequence: 5, lastSequence: 4, messages: 0 });
      expect((await stream.append(`${stream.name}.x`, bytes('e'), { expectedLastSequence: 4 })).sequence).toBe(5);
      const late = reading(stream, { after: 3 });
      await late.until(caughtUp);
      expect(late.events.map(line)).toEqual(['trimmed 5', '5 e', 'caught-up 5']);
      await Promise.all([front, behind, late].map((recorder) => recorder.stop()));
    });

    test('a slow reader gets everything too', async () => {
      const stream = await fresh();
      const total = 3000;
      await Promise.all(
        Array.from({ length: total }, (_, n) => stream.append(`${stream.name}.x`, bytes(`${n}`.padEnd(100)))),
      );
      let seen = 0;
      for await (const event of stream.read()) {
        if (event.type === 'caught-up') break;
        if (event.type !== 'message') continue;
        seen += 1;
        expect(event.message.sequence).toBe(seen);
        if (seen % 500 === 0) await systemClock.sleep(20);
      }
      expect(seen).toBe(total);
    });

    test('a full stream refuses, and takes again when something has gone', async () => {
      const stream = await fresh(20_000);
      const fill = async (): Promise<string | undefined> => {
        for (let n = 0; n < 100; n++) {
          const code = await codeOf(stream.append(`${stream.name}.x`, new Uint8Array(1000)));
          if (code !== undefined) return code;
        }
        return undefined;
      };
      expect(await fill()).toBe('STREAM_FULL');
      const { lastSequence } = await stream.info();
      expect(lastSequence).toBeGreaterThan(5);
      await stream.purge(lastSequence - 1);
      expect((await stream.append(`${stream.name}.x`, bytes('1'))).sequence).toBe(lastSequence + 1);
    });

    test('a missing stream is told as such, and one with other settings is refused', async () => {
      const { a, bucket } = sessions();
      expect(await codeOf(a.stream(bucket()))).toBe('STREAM_MISSING');
      const stream = await fresh();
      expect(await codeOf(a.ensureStream(stream.name, { subjects: ['elsewhere.>'] }))).toBe('STREAM_MISMATCH');
      const large = stream.append(`${stream.name}.x`, new Uint8Array(1024 * 1024));
      expect(await codeOf(large)).toBe('STREAM_MESSAGE_TOO_LARGE');
    });

    test('a consumer delivers each message until it is acknowledged, and keeps its place', async () => {
      const stream = await fresh();
      const options = { ackWaitMs: 60_000, filter: `${stream.name}.x` };
      const consumer = await stream.consumer('worker', options);
      expect(await consumer.fetch({ waitMs: 0 })).toEqual([]);
      await add(stream, 'a', 'b', 'c');
      await stream.append(`${stream.name}.y`, bytes('other'));
      const [first, second] = (await consumer.fetch({ max: 2 })) as [StreamDelivery, StreamDelivery];
      expect([text(first.data), text(second.data), first.attempt]).toEqual(['a', 'b', 1]);
      await first.ack();
      second.nak();
      // Another process goes on from there.
      const other = await (await sessions().b.stream(stream.name)).consumer('worker', options);
      const rest = await until(other, 2);
      expect(rest.map(({ data }) => text(data)).sort()).toEqual(['b', 'c']);
      expect(rest.find(({ data }) => text(data) === 'b')?.attempt).toBe(2);
      for (const delivery of rest) await delivery.ack();
      expect(await consumer.info()).toMatchObject({ pending: 0, ackPending: 0, ackFloor: 3 });
      expect(await consumer.fetch({ waitMs: 50 })).toEqual([]);
      await stream.removeConsumer('worker');
      await stream.removeConsumer('worker');
      expect(await codeOf(consumer.fetch({ waitMs: 200 }))).toBe('STREAM_CONSUMER_MISSING');
      expect(await codeOf(consumer.info())).toBe('STREAM_CONSUMER_MISSING');
    });

    test('a fetch waits for the first message', async () => {
      const stream = await fresh();
      const consumer = await stream.consumer('worker', { after: 1 });
      await add(stream, 'passed over');
      const fetched = consumer.fetch({ waitMs: 20_000 });
      await systemClock.sleep(50);
      await add(stream, 'a');
      expect((await fetched).map(({ data }) => text(data))).toEqual(['a']);
    });

    test('deliveries are bounded, late ones come again, given up ones do not', async () => {
      const stream = await fresh();
      const consumer = await stream.consumer('worker', { ackWaitMs: 1500, maxDeliver: 2, maxAckPending: 2 });
      await add(stream, 'a', 'b', 'c');
      const [a, b] = (await consumer.fetch()) as [StreamDelivery, StreamDelivery];
      expect(await consumer.info()).toMatchObject({ ackPending: 2, pending: 1 });
      await b.term();
      a.nak(300);
      const [c] = (await until(consumer, 1)) as [StreamDelivery];
      expect(text(c.data)).toBe('c');
      await c.ack();
      const [again] = (await until(consumer, 1)) as [StreamDelivery];
      expect([text(again.data), again.attempt]).toEqual(['a', 2]);
      // Twice was all: it is passed over, and what follows comes.
      await add(stream, 'd');
      const [d] = (await until(consumer, 1)) as [StreamDelivery];
      expect(text(d.data)).toBe('d');
      await d.ack();
      expect(await consumer.fetch({ waitMs: 1700 })).toEqual([]);
    });

    test('whoever says that it is still at it is left in peace', async () => {
      const stream = await fresh();
      const consumer = await stream.consumer('worker', { ackWaitMs: 2000 });
      await add(stream, 'a');
      const [held] = (await until(consumer, 1)) as [StreamDelivery];
      for (let n = 0; n < 6; n++) {
        held.working();
        expect(await consumer.fetch({ waitMs: 500 })).toEqual([]);
      }
      await held.ack();
    });
  });
}

/** Fetches until there are this many, at most 10 s. */
async function until(
  consumer: { fetch(options: { max: number; waitMs: number }): Promise<readonly StreamDelivery[]> },
  count: number,
): Promise<StreamDelivery[]> {
  const found: StreamDelivery[] = [];
  const giveUpAt = systemClock.monotonic() + 10_000;
  while (found.length < count && systemClock.monotonic() < giveUpAt)
    found.push(...(await consumer.fetch({ max: count - found.length, waitMs: 500 })));
  return found;
}
