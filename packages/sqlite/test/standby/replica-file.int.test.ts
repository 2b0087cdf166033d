/** Recipe of the replica file under SIGKILL at each of its steps: readers in other processes must never see anything torn. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { epoch } from '@canopy/core';
import { afterEach, expect, test } from 'vitest';
import { bootId, writeState } from '../../src/process/state-file.ts';
import type { StoppingPoint } from './stopping-point.ts';

const APPLIER = fileURLToPath(new URL('./applier-program.ts', import.meta.url));
const READER = fileURLToPath(new URL('./reader-program.ts', import.meta.url));
/** Another SQLite, of another version and in another program, is a reader like any other. */
const SHELL = spawnSync('sqlite3', ['--version']).status === 0;
const CHECK = 'PRAGMA integrity_check; SELECT sum(balance) FROM account;';

const directories: string[] = [];
const children = new Set<ChildProcess>();

afterEach(async () => {
  for (const child of children) {
    child.kill('SIGKILL');
    await ended(child);
  }
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function run(program: string, args: readonly string[]): ChildProcess & { output: string } {
  const child = Object.assign(spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] }), {
    output: '',
  });
  child.stdout?.on('data', (text) => {
    child.output += text;
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.once('exit', resolve));
}

function prepare(directory: string): { path: string; statePath: string; source: string } {
  const source = join(directory, 'source.db');
  const path = join(directory, 'replica.db');
  const connection = new DatabaseSync(source);
  connection.exec(`PRAGMA page_size=1024; PRAGMA journal_mode=DELETE;
    CREATE TABLE meta(seq INTEGER); INSERT INTO meta VALUES (0);
    CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER, stamp INTEGER, pad TEXT); CREATE TABLE entry(seq INTEGER, note TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO account SELECT i, 1000, 0, hex(zeroblob(150)) FROM n;`);
  connection.close();
  copyFileSync(source, path);
  const probe = new DatabaseSync(path, { readOnly: true });
  probe.close();
  const counter = Number(execFileSync('od', ['-An', '-tu1', '-j27', '-N1', path], { encoding: 'utf8' }));
  const at = { epoch: epoch(1), txid: 0 };
  const statePath = join(directory, 'state.json');
  writeState(statePath, {
    role: 'standby',
    from: at,
    to: at,
    counterBefore: counter,
    counterAfter: counter,
    durable: false,
    boot: bootId(),
  });
  return { path, statePath, source };
}

const POINTS: readonly StoppingPoint[] = [
  ...points(1, 'open replica.db-journal', [1], ['before', 'after']),
  // Header, old pages, tail.
  ...points(1, 'write replica.db-journal', [1, 2, 3], ['half']),
  ...points(1, 'close replica.db-journal', [1], ['after']),
  // The first state of a process is flushed and renamed, the others are written over.
  ...points(1, 'write state.json.tmp', [1], ['after']),
  ...points(1, 'rename state.json', [1], ['after']),
  ...points(2, 'write state.json', [1], ['before', 'after']),
  ...points(2, 'write replica.db', [1, 60], ['half']),
  ...points(2, 'write page 1', [1], ['before', 'half']),
  ...points(2, 'truncate replica.db', [1], ['before', 'after']),
  ...points(2, 'unlink replica.db-journal', [1], ['after']),
];

function points(
  apply: number,
  call: string,
  nths: readonly number[],
  whens: readonly StoppingPoint['when'][],
): StoppingPoint[] {
  return nths.flatMap((nth) => whens.map((when) => ({ apply, call, nth, when })));
}

/** The transaction that another program sees; throws where the file or its sums are not of one. */
function seenIn(path: string, timeout: number): number {
  using connection = new DatabaseSync(path, { timeout });
  const { seq } = connection.prepare('SELECT seq FROM meta').get() as { seq: number };
  const sums = connection
    .prepare('SELECT sum(balance) AS total, min(stamp) AS low, max(stamp) AS high FROM account')
    .get();
  expect(sums).toEqual({ total: 400_000, low: seq, high: seq });
  return seq;
}

test('an applier that is killed at any step of an apply leaves the file before or after it, and no reader sees anything else', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-replica-'));
  directories.push(directory);
  const { path, statePath, source } = prepare(directory);
  const reader = run(READER, [path]);
  let hotJournals = 0;
  for (const [round, point] of POINTS.entries()) {
    const what = `round ${round}: ${JSON.stringify(point)}`;
    const applier = run(APPLIER, [path, statePath, source, `${round}`, JSON.stringify(point)]);
    await said(applier);
    const standing = /^STANDING (\d+) (\d+)\n$/.exec(applier.output);
    expect(standing, `${what}: ${applier.output}`).not.toBeNull();
    const [from, to] = [Number(standing?.[1]), Number(standing?.[2])];
    // In the middle of it nobody reads.
    expect(() => seenIn(path, 0), what).toThrow('locked');
    const isDone = point.call.startsWith('unlink') && point.when === 'after';
    if (existsSync(`${path}-journal`)) hotJournals += 1;
    applier.kill('SIGKILL');
    await ended(applier);
    expect(seenIn(path, 60_000), what).toBe(isDone ? to : from);
  }
  if (SHELL)
    expect(execFileSync('sqlite3', ['-cmd', '.timeout 60000', path, CHECK], { encoding: 'utf8' })).toBe('ok\n400000\n');
  reader.kill('SIGTERM');
  await ended(reader);
  const report = JSON.parse(reader.output) as { checks: number; problems: string[] };
  expect(report.problems).toEqual([]);
  expect(report.checks).toBeGreaterThan(0);
  // All but before it is opened and after it is removed.
  expect(hotJournals).toBe(POINTS.length - 2);
  using final = new DatabaseSync(path);
  expect(Object.values(final.prepare('PRAGMA integrity_check').get() ?? {})).toEqual(['ok']);
}, 180_000);

/** Something, or its end. */
async function said(child: ChildProcess & { output: string }): Promise<void> {
  while (!child.output.includes('\n') && child.exitCode === null && child.signalCode === null)
    await new Promise((resolve) => {
      child.stdout?.once('data', resolve);
      child.once('close', resolve);
    });
}
