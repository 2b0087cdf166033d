/** A store in a file when its process is killed, when the disk is full, and when another process has it. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { seededRandom } from '@canopy/core';
import { spawnNode, temporaryDirectory, tinyFilesystem } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { type DurableStateStore, SqliteStore, type StateChange, stateStore } from '../../src/index.ts';
import { codeOf } from '../code-of.ts';
import { entriesAt } from './commit-shape.ts';

const ROUNDS = 4;
const PROGRAM = new URL('./commit-program.ts', import.meta.url);

async function place(name: string): Promise<string> {
  const directory = await temporaryDirectory('sqlite-store');
  onTestFinished(() => directory.remove());
  return join(directory.path, name);
}

function integrity(path: string): unknown {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return database.prepare('PRAGMA integrity_check').get()?.integrity_check;
  } finally {
    database.close();
  }
}

const entriesOf = (store: DurableStateStore): StateChange[] =>
  [...store.getAll()].map(([key, value]) => ({ key, value }));

test('a process that is killed at any instant leaves the state before or after a commit, never between', async () => {
  const seed = process.env.CANOPY_SEED ?? String(process.pid);
  const random = seededRandom(seed);
  const path = await place('replica.db');
  let reached = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    await using child = await spawnNode(PROGRAM, [path]);
    const until = reached + 1 + random.int(15);
    await child.line(new RegExp(`^at ${until}$`), { timeoutMs: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, random.int(15)));
    await child.kill();
    await child.exited;
    const said = Math.max(...child.lines.filter((line) => /^at \d+$/.test(line)).map((line) => Number(line.slice(3))));
    const atomic = SqliteStore.open({ path });
    try {
      const store = stateStore(atomic);
      reached = store.position().sequence;
      const where = `seed ${seed}, round ${round}: said ${said}, found ${reached}`;
      expect(reached === said || reached === said + 1, where).toBe(true);
      expect(entriesOf(store), where).toEqual(entriesAt(reached));
      expect(atomic.count('state-incoming'), where).toBe(0);
    } finally {
      atomic.close();
    }
    expect(integrity(path)).toBe('ok');
  }
}, 120_000);

test('another process that has the file is named; its death frees it', async () => {
  const path = await place('replica.db');
  await using child = await spawnNode(PROGRAM, [path]);
  await child.line(/^at 1$/, { timeoutMs: 60_000 });
  const open = (): SqliteStore => SqliteStore.open({ path, busyTimeoutMs: 0 });
  expect(codeOf(open)).toBe('STATE_STORE_IN_USE');
  expect(open).toThrow(`process ${child.pid}`);
  await child.kill();
  open().close();
});

test('a full disk refuses a commit whole, and takes it when there is room', async (context) => {
  const made = await tinyFilesystem(4 * 1024 * 1024);
  if (made.path === undefined) return context.skip(made.reason);
  await using disk = made;
  const path = join(disk.path, 'replica.db');
  const atomic = SqliteStore.open({ path });
  try {
    const store = stateStore(atomic);
    store.apply(entriesAt(3), { sequence: 3, epoch: 1 });
    const ballast = join(disk.path, 'ballast');
    writeFileSync(ballast, new Uint8Array(3_000_000));
    const large = Array.from({ length: 60 }, (_, i) => ({ key: `key-${i}`, value: 'y'.repeat(100_000) }));
    const batches = async function* (): AsyncGenerator<readonly StateChange[]> {
      for (const change of large) yield [change];
    };
    expect(codeOf(() => store.apply(large, { sequence: 4, epoch: 1 }))).toBe('STATE_STORE_FULL');
    await expect(store.replace(batches(), { sequence: 4, epoch: 1 })).rejects.toMatchObject({
      code: 'STATE_STORE_FULL',
    });
    const check = (): void => {
      expect(entriesOf(store)).toEqual(entriesAt(3));
      expect(store.position().sequence).toBe(3);
    };
    check();
    rmSync(ballast);
    store.apply([{ key: 'more', value: 1 }], { sequence: 4, epoch: 1 });
    expect([store.get('more'), store.position().sequence, store.getAll().size]).toEqual([
      1,
      4,
      entriesAt(3).length + 1,
    ]);
    expect(integrity(path)).toBe('ok');
  } finally {
    atomic.close();
  }
});
