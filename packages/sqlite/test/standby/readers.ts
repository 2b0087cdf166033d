/**
 * Ordinary readers of a replica file, each another SQLite in another program with a connection that it keeps: node:sqlite,
 * Python's sqlite3 and the sqlite3 shell. Each asks one question over and over, whose answer must begin with `ok` and then
 * name a number that never falls.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';

export interface ReaderReport {
  readonly kind: string;
  readonly checks: number;
  readonly problems: readonly string[];
}

const NODE = `
import { DatabaseSync } from 'node:sqlite';
import { createInterface } from 'node:readline';
const connection = new DatabaseSync(process.argv[1], { timeout: 20000 });
connection.exec('PRAGMA query_only=1');
for await (const sql of createInterface({ input: process.stdin }))
  try { console.log(Object.values(connection.prepare(sql).get())[0]); } catch (error) { console.log(String(error)); }
`;
const PYTHON = `
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
connection.execute('PRAGMA query_only=1')
for sql in sys.stdin:
    try: print(connection.execute(sql).fetchone()[0], flush=True)
    except Exception as error: print(repr(error), flush=True)
`;

const COMMANDS: Readonly<Record<string, (path: string) => [string, string[]]>> = {
  node: (path) => [process.execPath, ['--input-type=module', '-e', NODE, path]],
  python: (path) => ['python3', ['-c', PYTHON, path]],
  shell: (path) => ['sqlite3', ['-batch', '-cmd', '.timeout 20000', '-cmd', 'PRAGMA query_only=1', path]],
};

/** Those that this machine has; the others with the reason. */
export function readerKinds(): { readonly kinds: readonly string[]; readonly missing: readonly string[] } {
  const has = (command: string, args: string[]): boolean => spawnSync(command, args).status === 0;
  const missing: string[] = [];
  if (!has('python3', ['-c', 'import sqlite3'])) missing.push("python: python3 with sqlite3 isn't installed");
  if (!has('sqlite3', ['--version'])) missing.push("shell: sqlite3 isn't installed");
  const kinds = Object.keys(COMMANDS).filter((kind) => !missing.some((reason) => reason.startsWith(kind)));
  return { kinds, missing };
}

export class Reader {
  readonly kind: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #problems: string[] = [];
  readonly #sql: string;
  #checks = 0;
  #last = -1;
  #rest = '';
  #stopped = false;

  /** `sql` is one line without a semicolon and gives one row. */
  constructor(kind: string, path: string, sql: string) {
    const [command, args] = (COMMANDS[kind] as (path: string) => [string, string[]])(path);
    this.kind = kind;
    this.#sql = sql;
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
    // An answer to nothing: the shell says here what went wrong.
    this.#child.stderr?.on('data', (text) => this.#problems.push(String(text).trim()));
    this.#child.stdin?.on('error', () => {});
    this.#child.stdout?.on('data', (text) => this.#receive(String(text)));
    this.#ask();
  }

  get checks(): number {
    return this.#checks;
  }

  async end(): Promise<ReaderReport> {
    this.#stopped = true;
    this.#child.stdin?.end();
    await this.#ended;
    return { kind: this.kind, checks: this.#checks, problems: this.#problems };
  }

  kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    return this.#ended;
  }

  #ask(): void {
    if (!this.#stopped) this.#child.stdin?.write(`${this.#sql};\n`);
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() as string;
    for (const line of lines) {
      const [, seq] = /^ok (\d+)$/.exec(line.trim()) ?? [];
      if (seq === undefined) this.#problems.push(line);
      else if (Number(seq) < this.#last) this.#problems.push(`${seq} after ${this.#last}`);
      this.#last = Math.max(this.#last, Number(seq ?? -1));
      this.#checks++;
      this.#ask();
    }
  }
}
