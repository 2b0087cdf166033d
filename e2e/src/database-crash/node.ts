/** One node of the campaign: a database with its process, a reader, and the application where it is primary. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ConnectionSpec, type DatabaseEvent, type Env, epoch, type Position, type Promotable } from '@canopy/core';
import { type SqliteOptions, sqlite } from '@canopy/sqlite';
import { tornReads } from './history.ts';
import { type Disk, withEnvironment } from './shim.ts';

const WRITER = fileURLToPath(new URL('./writer-program.ts', import.meta.url));
const READER = fileURLToPath(new URL('./reader-program.ts', import.meta.url));
const PROMOTE_MS = 30_000;
const OUTPUT_KEPT = 1_000_000;

/** A program with what it has printed. */
export class Program {
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  output = '';

  constructor(program: string, args: readonly string[], environment: Readonly<Record<string, string>>) {
    this.#process = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.#process.stdout?.on('data', (text) => {
      this.output = (this.output + text).slice(-OUTPUT_KEPT);
    });
    this.#process.stderr?.on('data', (text) => {
      this.output = (this.output + text).slice(-OUTPUT_KEPT);
    });
    this.#ended = new Promise((resolve) => this.#process.once('close', () => resolve()));
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (this.running) this.#process.kill(signal);
    await this.#ended;
  }
}

/** The writer with the highest mark whose commit it has reported. */
export class Writer extends Program {
  readonly name: string;

  constructor(node: CrashNode, name: string, seed: string) {
    super(WRITER, [node.path, seed, name], node.environment);
    this.name = name;
  }

  get last(): number {
    return Number(/(?:^|\n)(\d+)\n[^\n]*$/.exec(this.output)?.[1] ?? 0);
  }

  /** What it said when it ended by an error of its own. */
  get problem(): string | undefined {
    return /\n\w*Error: .*/.exec(this.output)?.[0].trim();
  }
}

export interface NodeContext {
  readonly connection: ConnectionSpec;
  readonly env: Env;
  readonly disk: Disk | undefined;
  readonly directory: string;
  readonly options: SqliteOptions;
}

export class CrashNode {
  readonly name: string;
  readonly path: string;
  readonly disk: Disk | undefined;
  readonly flushes: boolean;
  readonly #context: NodeContext;
  #database: Promotable | undefined;
  #reader: Program | undefined;
  #pid = 0;
  #lives = 0;
  #torn: string[] = [];
  #checks = 0;
  events: DatabaseEvent[] = [];

  constructor(name: string, context: NodeContext) {
    this.name = name;
    this.disk = context.disk;
    this.flushes = context.options.flushStandby === true;
    this.path = join(context.disk?.directory ?? context.directory, `${name}.db`);
    this.#context = context;
  }

  get environment(): Readonly<Record<string, string>> {
    return this.disk?.environment ?? {};
  }

  get database(): Promotable {
    if (this.#database === undefined) throw new Error(`${this.name} is not running`);
    return this.#database;
  }

  get running(): boolean {
    return this.#database !== undefined;
  }

  /** Of the database process. */
  get pid(): number {
    return this.#pid;
  }

  /** Checks of readers so far, of those that have reported. */
  get checks(): number {
    return this.#checks;
  }

  get torn(): readonly string[] {
    return [...this.#torn, ...tornReads(this.#reader?.output ?? '')];
  }

  /** A new life of everything on the node, as after its machine or its platform has started again. */
  async launch(): Promise<void> {
    if (this.disk?.isLong) {
      await this.killReader();
      this.disk.settle();
    }
    this.#lives += 1;
    const { connection, env, options } = this.#context;
    const guard = {
      register: async ({ pid }: { pid: number }) => {
        this.#pid = pid;
      },
      unregister: async () => {},
    };
    const names = { platform: 'crash', app: 'app', node: `${this.name}-${this.#lives}` };
    const database = sqlite(this.path, options).open({ ...names, connection, env, guard });
    this.#database = database;
    const events: DatabaseEvent[] = [];
    this.events = events;
    void (async () => {
      for await (const event of database.watch()) events.push(event);
    })();
    await withEnvironment(this.environment, () => database.start());
    this.read();
  }

  /** Starts a reader where none runs. */
  read(): void {
    if (this.#reader?.running) return;
    this.#forgetReader();
    this.#reader = new Program(READER, [this.path], this.environment);
  }

  async killReader(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    await this.#reader?.end(signal);
    this.#forgetReader();
  }

  signal(signal: NodeJS.Signals): void {
    try {
      process.kill(this.#pid, signal);
    } catch {}
  }

  /** SIGKILL of the database process alone; its parent gives up on it. */
  async killDatabase(): Promise<void> {
    this.signal('SIGKILL');
    await this.stop();
  }

  async stop(): Promise<void> {
    await this.#database?.stop();
    this.#database = undefined;
  }

  promote(at: number): Promise<Position> {
    return this.database.promote({ epoch: epoch(at), signal: AbortSignal.timeout(PROMOTE_MS) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal('SIGCONT');
    await this.killReader('SIGTERM');
    await this.stop();
  }

  #forgetReader(): void {
    const output = this.#reader?.output ?? '';
    this.#torn.push(...tornReads(output));
    this.#checks += Number(/CHECKS (\d+)/.exec(output)?.[1] ?? 0);
    this.#reader = undefined;
  }
}
