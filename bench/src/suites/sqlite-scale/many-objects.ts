/**
 * What a log of very many entries makes of each way to ask it something: its time, and the messages that the server gets
 * and sends for it. Each question comes from a connection of its own that knows nothing yet. Baseline: the same with few
 * entries, so a ratio of one is a question whose price does not depend on the log's length.
 */
import { systemEnv } from '@canopy/core';
import { type Blobs, connectNats } from '@canopy/nats';
import { planRestore, SegmentLog } from '@canopy/sqlite';
import { type TestNatsServer, testNatsServer } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';

const ABREAST = 128;
const TURNS = 3;

/** What one question costs: the median of some tries. */
interface Price {
  readonly ms: number;
  readonly received: number;
  readonly sent: number;
}

export async function measureManyObjects(
  report: Report,
  { few, many }: { readonly few: number; readonly many: number },
): Promise<void> {
  await using nats = await testNatsServer({ monitor: true });
  const [short, long] = [await pricesAt(nats, few), await pricesAt(nats, many)];
  for (const [name, price] of long) {
    const before = short.get(name);
    const metric = `objects_${many}.${name}`;
    report.figure(metric, 'ms', price.ms, before?.ms);
    report.figure(`${metric}.requests`, 'messages', price.received, before?.received);
    report.figure(`${metric}.answers`, 'messages', price.sent, before?.sent);
  }
}

async function pricesAt(nats: TestNatsServer, objects: number): Promise<Map<string, Price>> {
  const { clock } = systemEnv();
  const bucket = `objects-${objects}`;
  {
    await using session = await connectNats(nats.connection, { name: 'fill', env: systemEnv() });
    await fill(await session.ensureBlobs(bucket), objects);
  }
  const questions: Readonly<Record<string, (log: SegmentLog) => Promise<unknown>>> = {
    list: (log) => log.all(),
    list_snapshots: (log) => log.snapshots(),
    end: (log) => log.end(),
    end_when_known: (log) => log.end({ known: objects }),
    entry: (log) => log.entry(objects),
    follow_start: (log) => firstOf(log, objects - 1),
    plan_restore: async (log) => planRestore(log.bucket, await log.all()),
  };
  const prices = new Map<string, Price>();
  for (const [name, ask] of Object.entries(questions)) {
    const [ms, received, sent] = [new Samples(), new Samples(), new Samples()];
    for (let turn = 0; turn < TURNS; turn++) {
      await using session = await connectNats(nats.connection, { name: 'ask', env: systemEnv() });
      const log = new SegmentLog({ blobs: await session.blobs(bucket), clock });
      const before = await traffic(nats);
      const from = clock.monotonic();
      await ask(log);
      ms.add(clock.monotonic() - from);
      const after = await traffic(nats);
      received.add(after.received - before.received);
      sent.add(after.sent - before.sent);
    }
    prices.set(name, { ms: ms.p50, received: received.p50, sent: sent.p50 });
  }
  return prices;
}

/** How long a follower needs that has all but the last entry. */
async function firstOf(log: SegmentLog, after: number): Promise<void> {
  for await (const _ of log.follow(after)) return;
}

async function traffic(nats: TestNatsServer): Promise<{ received: number; sent: number }> {
  const response = await fetch(`${nats.server.monitorUrl}/varz`);
  const { in_msgs: received, out_msgs: sent } = (await response.json()) as { in_msgs: number; out_msgs: number };
  return { received, sent };
}

/** Single transactions and, over the first half of them, a full image. What is in them is not looked at. */
async function fill(blobs: Blobs, objects: number): Promise<void> {
  const bytes = new Uint8Array(200);
  const hex = (txid: number): string => txid.toString(16).padStart(16, '0');
  const put = (level: number, from: number, to: number): Promise<unknown> =>
    blobs.put(`ltx/${level}/${hex(from)}-${hex(to)}.ltx`, bytes, { createOnly: true, timeoutMs: 60_000 });
  await put(9, 1, Math.floor(objects / 2));
  let next = 1;
  const work = async (): Promise<void> => {
    for (let txid = next++; txid <= objects; txid = next++) await put(0, txid, txid);
  };
  await Promise.all(Array.from({ length: ABREAST }, work));
}
