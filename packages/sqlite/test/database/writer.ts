/** Starts and ends the writer program. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./writer-program.ts', import.meta.url));

export class Writer implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly #ended: Promise<void>;
  #output = '';

  constructor(path: string, options: { seed?: string; pauseMs?: number; checkpoints?: boolean; name?: string } = {}) {
    const { seed = '1', pauseMs = 0, checkpoints = false, name = 'app' } = options;
    const args = [PROGRAM, path, seed, String(pauseMs), checkpoints ? 'yes' : 'no', name];
    this.process = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.process.stdout?.on('data', (text) => {
      this.#output += text;
    });
    this.#ended = new Promise((resolve) => this.process.once('exit', () => resolve()));
  }

  /** Ids whose commit has returned, as far as read. */
  get committed(): number[] {
    return this.#output.split('\n').slice(0, -1).map(Number);
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.process.kill(signal);
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end('SIGKILL');
  }
}
