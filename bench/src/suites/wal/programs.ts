/** The writer and the reader as the suite uses them: processes of their own, so that nobody's loop waits for another's. */
import { type ChildNode, spawnNode } from '@canopy/testkit';

export interface WriterJob {
  readonly path: string;
  /** Small transactions per second; 0 or absent: as many as it can. */
  readonly perSecond?: number;
  readonly seconds?: number;
  /** A bulk of this size instead. */
  readonly megabytes?: number;
}

export interface WriterResult {
  readonly transactions: number;
  readonly ms: number;
  /** Of rows. */
  readonly bytes: number;
  /** Of one small transaction. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const WRITER = new URL('./writer/main.ts', import.meta.url);
const READER = new URL('./reader/main.ts', import.meta.url);
const END_MS = 120_000;

/** Resolves when all is committed. */
export async function runWriter(job: WriterJob): Promise<WriterResult> {
  await using child = await spawnNode(WRITER, [JSON.stringify(job)]);
  await child.line(/^ready$/);
  child.write('go\n');
  return JSON.parse(await child.line(/^\{/, { timeoutMs: END_MS })) as WriterResult;
}

export class Reader implements AsyncDisposable {
  readonly #child: ChildNode;

  private constructor(child: ChildNode) {
    this.#child = child;
  }

  static async start(path: string): Promise<Reader> {
    const child = await spawnNode(READER, [path]);
    await child.line(/^ready$/);
    return new Reader(child);
  }

  /** Ends it; ms between commit and sight, one per row. */
  async lags(): Promise<readonly number[]> {
    this.#child.write('end\n');
    return JSON.parse(await this.#child.line(/^\[/)) as number[];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#child[Symbol.asyncDispose]();
  }
}
