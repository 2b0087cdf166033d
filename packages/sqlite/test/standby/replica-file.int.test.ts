/** Recipe of the replica file under SIGKILL: readers in other processes must never see anything torn. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { epoch, seededRandom } from '@canopy/core';
import { afterEach, expect, test } from 'vitest';
import { bootId, writeState } from '../../src/process/state-file.ts';

const APPLIER = fileURLToPath(new URL('./applier-program.ts', import.meta.url));
const READER = fileURLToPath(new URL('./reader-program.ts', import.meta.url));
const ROUNDS = 20;
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

test('an applier that is killed at random points never shows a reader a torn page', async () => {
  const seed = `${process.env.CANOPY_SEED ?? process.pid}`;
  const random = seededRandom(seed);
  const directory = mkdtempSync(join(tmpdir(), 'canopy-replica-'));
  directories.push(directory);
  const { path, statePath, source } = prepare(directory);
  const readers = [run(READER, [path]), run(READER, [path])];
  let hotJournals = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const applied = (): number => statSync(`${source}.applied`, { throwIfNoEntry: false })?.size ?? 0;
    const before = applied();
    const applier = run(APPLIER, [path, statePath, source, `${seed}-${round}`]);
    // Only a running applier can be killed in the middle of something.
    while (applied() === before && applier.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 2));
    await new Promise((resolve) => setTimeout(resolve, random.next() * 60));
    applier.kill('SIGKILL');
    await ended(applier);
    expect(applier.output, `seed ${seed}, round ${round}`).toBe('');
    if (existsSync(`${path}-journal`)) hotJournals += 1;
    if (SHELL)
      expect(execFileSync('sqlite3', ['-cmd', '.timeout 10000', path, CHECK], { encoding: 'utf8' })).toBe(
        'ok\n400000\n',
      );
  }
  for (const reader of readers) {
    reader.kill('SIGTERM');
    await ended(reader);
    const report = JSON.parse(reader.output) as { checks: number; problems: string[] };
    expect(report.problems, `seed ${seed}`).toEqual([]);
    expect(report.checks).toBeGreaterThan(100);
  }
  const final = new DatabaseSync(path);
  expect(Object.values(final.prepare('PRAGMA integrity_check').get() ?? {})).toEqual(['ok']);
  final.close();
  process.stdout.write(`crash rounds ${ROUNDS}, killed within an apply ${hotJournals}, seed ${seed}\n`);
});
