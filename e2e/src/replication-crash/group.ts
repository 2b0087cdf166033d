/** Members of a group as processes of their own, which keep their files when they are killed and started again. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ChildNode, spawnNode } from '@canopy/testkit';

const START_MS = 90_000;

export class Member implements AsyncDisposable {
  readonly id: string;
  readonly #program: string;
  readonly #args: readonly string[];
  #child: ChildNode | undefined;
  #url: string | undefined;

  constructor(id: string, program: string, server: string, directory: string) {
    this.id = id;
    this.#program = fileURLToPath(new URL(program, import.meta.url));
    this.#args = [id, server, join(directory, `${id}.db`)];
  }

  async start(): Promise<void> {
    this.#child = await spawnNode(this.#program, this.#args);
    const line = await this.#child.line(/listens at/, { timeoutMs: START_MS });
    this.#url = /http:\S+/.exec(line)?.[0];
  }

  async kill(): Promise<void> {
    this.#url = undefined;
    await this.#child?.kill();
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.signal(signal);
  }

  /** Rejects while it is down; waits while it is stopped, unless `timeoutMs` bounds it. */
  async ask<T>(route: string, body: object = {}, timeoutMs = 120_000): Promise<T> {
    if (this.#url === undefined) throw new Error(`${this.id} is down`);
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(`${this.#url}/${route}`, { method: 'POST', body: JSON.stringify(body), signal });
    return (await response.json()) as T;
  }

  get output(): string {
    return this.#child?.output ?? '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]();
  }
}
