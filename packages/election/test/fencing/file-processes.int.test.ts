/** A fenced file under several processes that write it under different epochs and are killed at any moment. */
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { seededRandom, systemClock } from '@canopy/core';
import { type ChildNode, spawnNode, temporaryDirectory } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { FencedFile } from '../../src/index.ts';

const WRITER = new URL('./fixtures/file-writer.ts', import.meta.url);

const linesOf = (node: ChildNode, what: string): { from: number; to: number }[] =>
  [...node.output.matchAll(new RegExp(`^${what} (\\S+) (\\S+)$`, 'gm'))].map((m) => ({
    from: Number(m[1]),
    to: Number(m[2]),
  }));

test('no write of an earlier epoch begins after a claim of a later one has ended, and none is half there', async () => {
  const random = seededRandom('fenced-file');
  const directory = await temporaryDirectory('fenced');
  onTestFinished(() => directory.remove());
  const path = `${directory.path}/state`;
  const reader = new FencedFile(path, randomUUID);
  const stopped = new AbortController();
  let highest = 0;
  const reading = (async () => {
    while (!stopped.signal.aborted) {
      const seen = await reader.read();
      if (seen !== undefined && seen.value.length > 0) {
        const text = new TextDecoder().decode(seen.value);
        expect(text).toMatch(/^\d+:\d+:x*:end$/);
        expect(seen.epoch).toBeGreaterThanOrEqual(highest);
        highest = seen.epoch;
      }
      await systemClock.sleep(1);
    }
  })();
  const writers: ChildNode[] = [];
  for (let epoch = 1; epoch <= 6; epoch++) {
    const node = await spawnNode(WRITER, [path, String(epoch)]);
    onTestFinished(() => node[Symbol.asyncDispose]());
    writers.push(node);
    await node.line(/^wrote/);
    await systemClock.sleep(random.next() * 60);
    // Half of them die in the middle of whatever they do, the others meet the next one.
    if (random.next() < 0.5) await node.kill();
  }
  const last = writers.at(-1) as ChildNode;
  await last.kill();
  await systemClock.sleep(100);
  stopped.abort();
  await reading;
  writers.forEach((node, i) => {
    const later = writers.slice(i + 1).flatMap((other) => linesOf(other, 'claimed'));
    const fencedAt = Math.min(Number.POSITIVE_INFINITY, ...later.map(({ to }) => to));
    expect(linesOf(node, 'wrote').filter(({ from }) => from > fencedAt)).toEqual([]);
    expect(node.output).not.toMatch(/refused (?!ELECTION_EPOCH_STALE)/);
  });
  expect((await reader.read())?.epoch).toBe(6);
  // Nothing of the dead is in the way, and what they left does not pile up.
  await reader.write(7, new TextEncoder().encode('7:0::end'));
  expect((await reader.read())?.epoch).toBe(7);
  expect(readdirSync(path).length).toBeLessThan(15);
}, 60_000);
