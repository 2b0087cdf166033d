/**
 * A Node process that runs a TypeScript file: what a test kills, freezes and listens to. It is ended at disposal, its
 * descendants included, and its output is kept for the failure's message.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { messageOf } from '@canopy/core';
import { processEnvironment } from '@canopy/nats/server';
import { eventually } from './eventually.ts';
import { killTree, processTree } from './process-tree.ts';

/** Lines beyond this are forgotten from the front. */
const LINES_MAX = 5_000;

export interface SpawnNodeOptions {
  readonly cwd?: string;
  /** Added to this process's environment; undefined removes a variable. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Flags for Node itself. */
  readonly nodeArgs?: readonly string[];
  /** Default false: the child shares our process group. */
  readonly detached?: boolean;
}

export interface ChildExit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

export class ChildNode implements AsyncDisposable {
  readonly pid: number;
  /** Lines of stdout and stderr so far. */
  readonly lines: string[] = [];
  /** Resolves when it has ended; never rejects. */
  readonly exited: Promise<ChildExit>;
  readonly #child: ChildProcess;
  #exit: ChildExit | undefined;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid as number;
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#exit = { code: code ?? undefined, signal: signal ?? undefined };
        resolve(this.#exit);
      });
    });
    for (const stream of [child.stdout, child.stderr]) this.#collect(stream);
  }

  get exit(): ChildExit | undefined {
    return this.#exit;
  }

  get output(): string {
    return this.lines.join('\n');
  }

  /** The first line, past or future, that matches; fails with all output when the child ends or time passes first. */
  async line(pattern: RegExp | ((line: string) => boolean), options: { timeoutMs?: number } = {}): Promise<string> {
    const matches = typeof pattern === 'function' ? pattern : (line: string): boolean => pattern.test(line);
    const abort = new AbortController();
    try {
      return await eventually(
        () => {
          const found = this.lines.find(matches);
          if (found === undefined && this.#exit !== undefined)
            abort.abort(new Error(`it ended (${this.#exit.code ?? this.#exit.signal}) before`));
          return found;
        },
        { timeoutMs: options.timeoutMs ?? 15_000, what: `a line like ${pattern}`, signal: abort.signal },
      );
    } catch (error) {
      throw new Error(`${messageOf(error)}; output of process ${this.pid}:\n${this.output}`, { cause: error });
    }
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Signals this process alone. */
  signal(signal: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#child.kill(signal);
  }

  /** SIGKILL to this process alone; resolves when it has ended. Its children live on. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#gone();
  }

  /** Ends it and all its descendants. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (processTree(this.pid).length > 0 && this.#exit === undefined) await killTree(this.pid);
    await this.#gone();
  }

  /** `close` waits for everybody who inherited the output, `exit` only for the process itself. */
  async #gone(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    await new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
  }

  #collect(stream: NodeJS.ReadableStream | null): void {
    let rest = '';
    stream?.setEncoding('utf8');
    stream?.on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() as string;
      this.lines.push(...parts);
      if (this.lines.length > LINES_MAX) this.lines.splice(0, this.lines.length - LINES_MAX);
    });
    stream?.on('end', () => {
      if (rest !== '') this.lines.push(rest);
    });
  }
}

/** Runs the TypeScript (or JavaScript) file under the same Node as the test. */
export async function spawnNode(
  script: string | URL,
  args: readonly string[] = [],
  options: SpawnNodeOptions = {},
): Promise<ChildNode> {
  const file = script instanceof URL ? fileURLToPath(script) : script;
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), file, ...args], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...processEnvironment(), ...options.environment },
    detached: options.detached ?? false,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.on('error', () => {});
  child.stdin?.on('error', () => {});
  return new ChildNode(child);
}
