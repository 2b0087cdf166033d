/**
 * Ordinary writers, each another SQLite in another program that knows nothing of replication: Python's sqlite3 as it comes
 * (its own transactions, its own checkpoints), the sqlite3 shell, and better-sqlite3. Each commits transactions of ROWS rows
 * with the transaction's number, from 1 on, tells each number once it is committed, and leaves at the first error. The last is
 * so fast that it pauses a little in between: else it were done before anybody has looked at the WAL a second time.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export const ROWS = 20;
export const TABLE = 'CREATE TABLE t(id INTEGER PRIMARY KEY, seq INTEGER, x BLOB)';
/** As long as each waits for a lock: whatever they see besides is a fault. */
const TIMEOUT_MS = 60_000;

const PYTHON = `
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=${TIMEOUT_MS / 1000})
for seq in range(1, int(sys.argv[2]) + 1):
    with connection:
        connection.executemany('INSERT INTO t(seq, x) VALUES (?, ?)', [(seq, os.urandom(2000)) for _ in range(${ROWS})])
    print(seq, flush=True)
connection.close()
`;
const BETTER = `
const { createRequire } = require('node:module');
const { randomBytes } = require('node:crypto');
const Database = createRequire(process.argv[3] + '/')('better-sqlite3');
const db = new Database(process.argv[1], { timeout: ${TIMEOUT_MS} });
const pause = new Int32Array(new SharedArrayBuffer(4));
const insert = db.prepare('INSERT INTO t(seq, x) VALUES (?, ?)');
const commit = db.transaction((seq) => { for (let i = 0; i < ${ROWS}; i++) insert.run(seq, randomBytes(2000)); });
for (let seq = 1; seq <= Number(process.argv[2]); seq++) { commit(seq); console.log(seq); Atomics.wait(pause, 0, 0, 2); }
db.close();
`;
const SHELL = (seq: number): string =>
  `BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS}) INSERT INTO t(seq, x) SELECT ${seq}, randomblob(2000) FROM n; COMMIT; SELECT ${seq};\n`;

export interface WriterRun {
  /** Numbers of the transactions that it was told are committed, in order. */
  readonly committed: readonly number[];
  readonly code: number | null;
  /** Everything it complained of. */
  readonly errors: string;
}

/** Why there is none here, as a sentence; undefined when there is. */
export function missing(kind: 'python' | 'shell'): string | undefined {
  const [command, args] = kind === 'python' ? ['python3', ['-c', 'import sqlite3']] : ['sqlite3', ['--version']];
  return spawnSync(command, args).status === 0 ? undefined : `${command} with SQLite isn't installed`;
}

/** Runs one to its end. `modules` is where better-sqlite3 lies. */
export async function runWriter(
  kind: 'python' | 'shell' | 'better-sqlite3',
  path: string,
  transactions: number,
  modules = '',
): Promise<WriterRun> {
  const count = String(transactions);
  const [command, args] = {
    python: ['python3', ['-c', PYTHON, path, count]] as const,
    shell: ['sqlite3', ['-batch', '-bail', '-cmd', `.timeout ${TIMEOUT_MS}`, path]] as const,
    'better-sqlite3': [process.execPath, ['-e', BETTER, path, count, modules]] as const,
  }[kind];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(child, 'close') as Promise<[number | null]>;
  const committed: number[] = [];
  let errors = '';
  createInterface({ input: child.stdout }).on('line', (line) => committed.push(Number(line)));
  child.stderr.on('data', (text) => {
    errors += text;
  });
  child.stdin.on('error', () => {});
  try {
    if (kind === 'shell') for (let seq = 1; seq <= transactions; seq++) child.stdin.write(SHELL(seq));
    child.stdin.end();
    const [code] = await ended;
    return { committed, code, errors };
  } finally {
    child.kill('SIGKILL');
  }
}
