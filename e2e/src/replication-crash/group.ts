/** Members of a group as processes of their own, which keep their files when they are killed and started again, unless those are wiped. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ChildNode, spawnNode, type TcpProxy } from '@canopy/testkit';

const START_MS = 90_000;

/**
 * A fault of the member's own, for tests of the checkers. `early-answer`: what is to be stored elsewhere is answered when it is stored here.
 * `any-read`: reads don't wait for what their session has seen.
 */
export type PlantedFault = 'early-answer' | 'any-read';

export interface MemberPlace {
  readonly servers: readonly string[];
  /** On its way to the servers. Not with a cluster. */
  readonly link: TcpProxy | undefined;
  readonly directory: string;
  /** Where to ask before a log is trimmed. */
  readonly witness: string;
  readonly planted: PlantedFault | undefined;
}

export class Member implements AsyncDisposable {
  readonly id: string;
  readonly link: TcpProxy | undefined;
  readonly #program: string;
  readonly #args: readonly string[];
  readonly #directory: string;
  #disk = 1;
  #child: ChildNode | undefined;
  #url: string | undefined;

  constructor(id: string, program: string, { servers, link, directory, witness, planted }: MemberPlace) {
    this.id = id;
    this.link = link;
    this.#program = fileURLToPath(new URL(program, import.meta.url));
    this.#directory = join(directory, id);
    const urls = link === undefined ? servers : [link.url];
    this.#args = [id, urls.join(','), join(this.#directory, 'state.db'), witness, planted ?? ''];
  }

  /** Grows when what it had stored is gone. */
  get disk(): number {
    return this.#disk;
  }

  async start(): Promise<void> {
    mkdirSync(this.#directory, { recursive: true });
    this.#child = await spawnNode(this.#program, this.#args);
    const line = await this.#child.line(/listens at/, { timeoutMs: START_MS });
    this.#url = /http:\S+/.exec(line)?.[0];
  }

  async kill(): Promise<void> {
    this.#url = undefined;
    await this.#child?.kill();
  }

  /** Kills it, and its disk with it. */
  async wipe(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
    this.#disk += 1;
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
