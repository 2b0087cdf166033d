/** Processes that handle events into a SQLite file and are killed at random points; afterwards every effect is there once. */
import { join } from 'node:path';
import { seededRandom, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { jetStreamPipelineSource, SqliteStore } from '@canopy/replication';
import { spawnNode, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { expect, onTestFinished } from 'vitest';

const PROGRAM = new URL('./kill-program.ts', import.meta.url);
const EVENTS_A_ROUND = 30;
const WAIT = { timeoutMs: 60_000 };

export type Kind = 'durable' | 'source';

/** Kills that many lives of one subscriber, in handlers and between them, then lets one end its work. */
export async function killAndCompare(kind: Kind, rounds: number): Promise<void> {
  const seed = process.env.CANOPY_SEED ?? String(process.pid);
  const random = seededRandom(`${kind}-${seed}`);
  const env = systemEnv();
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const directory = await temporaryDirectory('kills');
  onTestFinished(() => directory.remove());
  const path = join(directory.path, 'effects.db');
  const session = await connectNats(nats.connection, { name: 'writer', env });
  onTestFinished(() => session.close());
  const source = await jetStreamPipelineSource(session, { namespace: 'kills' });
  const stream = await session.ensureStream('KILLS', { subjects: ['kills.>'] });
  let written = 0;
  const write = async (): Promise<void> => {
    const numbers = Array.from({ length: EVENTS_A_ROUND }, (_, i) => written + i + 1);
    written += EVENTS_A_ROUND;
    await Promise.all(
      numbers.map((n) => {
        if (kind === 'source') return source.append('events', { verb: 'made', payload: n });
        return stream.append('kills.new', Buffer.from(JSON.stringify(n)));
      }),
    );
  };
  for (let round = 1; round <= rounds; round++) {
    await write();
    await using child = await spawnNode(PROGRAM, [nats.url, path, kind]);
    const handled = 1 + random.int(EVENTS_A_ROUND / 2);
    await child.line(() => child.lines.filter((line) => line.startsWith('handled ')).length >= handled, WAIT);
    await env.clock.sleep(random.int(12));
    await child.kill();
  }
  await using last = await spawnNode(PROGRAM, [nats.url, path, kind]);
  await last.line(/^caught up$/, WAIT);
  await last.kill();
  const store = SqliteStore.open({ path, busyTimeoutMs: 10_000 });
  onTestFinished(() => store.close());
  const effects = new Map(store.scan('effects', { limit: written + 2 }));
  const wrong = [...effects].filter(([key, times]) => key !== 'sum' && times !== 1);
  expect(wrong, `seed ${seed}`).toEqual([]);
  expect([effects.get('sum'), effects.size], `seed ${seed}`).toEqual([written, written + 1]);
}
