/**
 * One warden process as its parent sees it: spawn, requests with answers, reports, end. It is never repaired: when it
 * ends, or stops answering, its owner makes another.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type Env, inheritedEnvironment } from '@canopy/core';
import { wardenErrors } from './errors.ts';
import {
  type ConfigureMessage,
  encodeLine,
  LineSplitter,
  type RefusalReason,
  type WardenOperation,
  type WardenReport,
} from './protocol.ts';

const MAIN = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url));
/** Small young generation: a warden makes no garbage worth a bigger one. No inspector by signal. */
const FLAGS: readonly string[] = ['--max-semi-space-size=1', '--disable-sigusr1', '--no-warnings'];
/** A warden that is silent for this long is replaced. Its answers take microseconds. */
const ANSWER_MS = 2000;
/** After a freeze of the parent its timers run before its sockets are read: a late answer gets this second chance. */
const SECOND_CHANCE_MS = 500;

/** Undefined when the warden agreed, else why it refused; `ended` when it will never answer. */
export type ChildAnswer = RefusalReason | 'ended' | undefined;

export interface WardenChildListener {
  report(report: WardenReport): void;
  /** Called before the pending requests are answered with `ended`. */
  ended(reason: string): void;
}

export class WardenChild {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #env: Env;
  readonly #listener: WardenChildListener;
  readonly #pending = new Map<number, (answer: ChildAnswer) => void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #exited = Promise.withResolvers<string>();
  #sequence = 0;
  #isEnded = false;

  constructor(config: ConfigureMessage, env: Env, listener: WardenChildListener) {
    this.#env = env;
    this.#listener = listener;
    this.#process = spawn(process.execPath, [...FLAGS, MAIN], {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: childEnvironment(),
    });
    this.#ready.promise.catch(() => {});
    this.#listen();
    this.#write(encodeLine(config));
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Resolves when it takes requests; rejects with WARDEN_START_FAILED when it ends before. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves with the reason once it has ended. */
  get exited(): Promise<string> {
    return this.#exited.promise;
  }

  /** Never rejects. Requests are carried out in the order of the calls. */
  request(operation: WardenOperation): Promise<ChildAnswer> {
    if (this.#isEnded) return Promise.resolve('ended');
    const n = ++this.#sequence;
    const answer = Promise.withResolvers<ChildAnswer>();
    let timer = this.#env.clock.timer(ANSWER_MS, () => {
      timer = this.#env.clock.timer(SECOND_CHANCE_MS, () => this.kill());
    });
    this.#pending.set(n, (value) => {
      timer.cancel();
      this.#pending.delete(n);
      answer.resolve(value);
    });
    this.#write(encodeLine({ ...operation, n }));
    return answer.promise;
  }

  /** Closes its input: it ends what is still registered and exits. */
  end(): void {
    this.#process.stdin.end();
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  /** Lets it finish by itself, after `end`: for its owner it has ended, and this process may end before it. */
  leave(): void {
    const { stdin, stdout, stderr } = this.#process;
    for (const pipe of [this.#process, stdin, stdout, stderr] as readonly { unref?(): void }[]) pipe.unref?.();
    this.#end('left to finish by itself');
  }

  #listen(): void {
    const { stdin, stdout, stderr } = this.#process;
    const reports = new LineSplitter();
    stdout.setEncoding('utf8').on('data', (chunk: string) => {
      for (const line of reports.push(chunk)) this.#hear(JSON.parse(line) as WardenReport);
    });
    stderr.setEncoding('utf8').on('data', (chunk: string) => {
      this.#env.log.warn('warden_stderr', { text: chunk.slice(0, 2000).trimEnd() });
    });
    // A broken pipe is followed by the exit, which is what counts.
    for (const stream of [stdin, stdout, stderr]) stream.on('error', () => {});
    this.#process.on('error', (error) => this.#end(error.message));
    this.#process.on('exit', (code, signal) => this.#end(signal ?? `exit code ${code}`));
  }

  #hear(report: WardenReport): void {
    if (report.type === 'ack') this.#pending.get(report.n)?.(undefined);
    else if (report.type === 'refused') this.#pending.get(report.n)?.(report.reason);
    else if (report.type === 'ready') this.#ready.resolve();
    this.#listener.report(report);
  }

  #end(reason: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#listener.ended(reason);
    for (const settle of [...this.#pending.values()]) settle('ended');
    this.#ready.reject(wardenErrors.create('WARDEN_START_FAILED', { reason }));
    this.#exited.resolve(reason);
  }

  #write(line: string): void {
    if (this.#process.stdin.writable) this.#process.stdin.write(line);
  }
}

/** As ours, without what is meant for this process only, and with a code cache of this user's. */
function childEnvironment(): Record<string, string> {
  const { NODE_OPTIONS: _options, NODE_CHANNEL_FD: _channel, ...rest } = inheritedEnvironment();
  const cache = rest.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return { NODE_COMPILE_CACHE: join(cache, 'canopy', 'compile'), ...rest };
}
