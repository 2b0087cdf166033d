/** A stream on three servers, each of which is killed and started again, its leader included. */
import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession, type StreamReadEvent } from '@canopy/nats';
import { eventually, testNatsCluster } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';

const env = systemEnv();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const PATIENT = { timeoutMs: 60_000 };

test('what was acknowledged is read once and in order, whichever server dies', async () => {
  const nats = await testNatsCluster({ onCleanup: onTestFinished });
  const urls = nats.nodes.map(({ url }) => url);
  const open = async (servers: readonly string[]): Promise<NatsSession> => {
    const session = await connectNats({ servers }, { name: 'cluster', env });
    onTestFinished(() => session.close());
    return session;
  };
  const stream = await (await open(urls)).ensureStream('s', { subjects: ['s.>'] });
  expect((await stream.info()).replicas).toBe(3);
  const end = new AbortController();
  onTestFinished(() => end.abort());
  // One on each server: whichever holds a consumer, some reader is connected elsewhere and gets no event.
  const seen: StreamReadEvent[][] = [];
  for (const url of urls) {
    const events: StreamReadEvent[] = [];
    seen.push(events);
    const reader = await (await open([url])).stream('s');
    void (async () => {
      for await (const event of reader.read({ signal: end.signal })) events.push(event);
    })();
  }
  const readBy = (at: number): string[] =>
    (seen[at] ?? []).flatMap((event) => (event.type === 'message' ? [text(event.message.data)] : []));
  /** What was acknowledged, by sequence. */
  const acknowledged = new Map<number, string>();
  let stop = false;
  const plain = (async () => {
    for (let n = 0; !stop; n++) {
      const batch = Array.from({ length: 5 }, (_, k) => `p${n}.${k}`);
      // One that was overtaken fails, and is not sent again.
      await Promise.all(
        batch.map((value) =>
          stream.append('s.plain', bytes(value), PATIENT).then(
            ({ sequence }) => acknowledged.set(sequence, value),
            () => {},
          ),
        ),
      );
    }
  })();
  const other = await (await open(urls)).stream('s');
  const conditional = (async () => {
    for (let n = 0; !stop; n++) {
      const { lastSequence } = await other.info(PATIENT);
      // The other writer is faster most times: then it is certain that this one is not stored.
      const outcome = await other
        .append('s.cas', bytes(`c${n}`), { ...PATIENT, expectedLastSequence: lastSequence })
        .catch((error: { code: string }) => error.code);
      if (typeof outcome === 'string') expect(outcome).toBe('STREAM_CONFLICT');
      else {
        expect(outcome.sequence).toBe(lastSequence + 1);
        acknowledged.set(outcome.sequence, `c${n}`);
      }
    }
  })();
  for (const node of nats.nodes) {
    const before = acknowledged.size;
    const read = seen.map((_, at) => readBy(at).length);
    await eventually(() => acknowledged.size > before + 100, { timeoutMs: 60_000 });
    await eventually(() => seen.every((_, at) => readBy(at).length > (read[at] as number) + 50), { timeoutMs: 60_000 });
    await node.kill();
    await eventually(() => acknowledged.size > before + 200, { timeoutMs: 60_000 });
    await node.restart();
  }
  stop = true;
  await Promise.all([plain, conditional]);
  const { lastSequence } = await stream.info(PATIENT);
  const last = acknowledged.get(Math.max(...acknowledged.keys())) as string;
  await eventually(() => seen.every((_, at) => readBy(at).includes(last)), { timeoutMs: 60_000 });
  for (const events of seen) {
    const messages = events.flatMap((event) => (event.type === 'message' ? [event.message] : []));
    const sequences = messages.map(({ sequence }) => sequence);
    expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b));
    expect(new Set(messages.map(({ data }) => text(data))).size).toBe(messages.length);
    const values = new Map(messages.map(({ sequence, data }) => [sequence, text(data)]));
    for (const [sequence, value] of acknowledged) expect(values.get(sequence)).toBe(value);
    expect(lastSequence).toBeGreaterThanOrEqual(sequences.at(-1) as number);
    // A writer's own messages are in the order of its calls.
    for (const kind of ['p', 'c']) {
      const order = [...values.values()]
        .filter((value) => value.startsWith(kind))
        .map((value) => value.slice(1).split('.'));
      const numbers = order.map(([n, k = '0']) => Number(n) * 10 + Number(k));
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    }
    expect(events.some(({ type }) => type === 'trimmed')).toBe(false);
  }
}, 240_000);
