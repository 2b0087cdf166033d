/**
 * A nats-server with one bucket, our log on it, a database file, and both generations of Litestream pointed at them: its
 * one-shot `restore`, and `replicate` as a process. Its intervals are as short as a test needs them.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { formatTxid, systemClock, systemEnv } from '@canopy/core';
import { type Blobs, connectNats } from '@canopy/nats';
import { type TestNatsServer, temporaryDirectory } from '@canopy/testkit';
import { SegmentLog } from '../../src/log/segment-log.ts';
import type { RestoreTarget } from '../../src/restore/plan.ts';
import { restore } from '../../src/restore/restore.ts';

/** SHA-256 of a restored file, or the words with which the restore failed. */
export type Outcome = { readonly sha: string; readonly path: string } | { readonly failed: string };

export interface LitestreamTimes {
  /** Go durations. */
  readonly levels: readonly string[];
  readonly snapshot: string;
  readonly l0Retention: string;
}

const TIMES: LitestreamTimes = { levels: ['1h'], snapshot: '24h', l0Retention: '1h' };

export class LitestreamRig implements AsyncDisposable {
  readonly directory: string;
  readonly log: SegmentLog;
  readonly blobs: Blobs;
  readonly #stack: AsyncDisposableStack;
  readonly #url: string;
  #runs = 0;

  private constructor(stack: AsyncDisposableStack, directory: string, log: SegmentLog, blobs: Blobs, url: string) {
    this.#stack = stack;
    this.directory = directory;
    this.log = log;
    this.blobs = blobs;
    this.#url = url;
  }

  /** Makes the bucket; the server stays the caller's. */
  static async open(nats: TestNatsServer, bucket: string): Promise<LitestreamRig> {
    await using stack = new AsyncDisposableStack();
    const directory = stack.use(await temporaryDirectory('litestream')).path;
    const session = stack.use(await connectNats(nats.connection, { name: 'test', env: systemEnv() }));
    const blobs = await session.ensureBlobs(bucket);
    const log = new SegmentLog({ blobs, clock: systemClock });
    return new LitestreamRig(stack.move(), directory, log, blobs, `${nats.url}/${bucket}`);
  }

  /** Its restore of the bucket, to the end or to a target. */
  async theirs(binary: string, target?: RestoreTarget): Promise<Outcome> {
    const out = this.#output('theirs');
    const config = this.#config(join(this.directory, 'unused.db'), TIMES);
    const args = ['restore', '-config', config, '-o', out, ...flagsOf(target), join(this.directory, 'unused.db')];
    try {
      await promisify(execFile)(binary, args, { timeout: 30_000 });
      return shaOf(out);
    } catch (error) {
      return { failed: String((error as { stderr?: string }).stderr ?? error) };
    }
  }

  /** Our restore, with SQLite's full integrity check. */
  async ours(target?: RestoreTarget): Promise<Outcome> {
    const dest = this.#output('ours');
    try {
      await restore({ log: this.log, dest, check: 'full', target });
      return shaOf(dest);
    } catch (error) {
      return { failed: String(error) };
    }
  }

  /** Litestream as the primary of a file; ended by its disposal, or in order by `stop`. */
  replicate(binary: string, path: string, times: LitestreamTimes = TIMES): Replicating {
    const running = new Replicating(spawn(binary, ['replicate', '-config', this.#config(path, times)]));
    this.#stack.use(running);
    return running;
  }

  #config(path: string, times: LitestreamTimes): string {
    const file = join(this.directory, `litestream-${this.#runs++}.yml`);
    const lines = [
      `levels: [${times.levels.map((interval) => `{ interval: ${interval} }`).join(', ')}]`,
      `snapshot: { interval: ${times.snapshot}, retention: 1h }`,
      `l0-retention: ${times.l0Retention}`,
      'l0-retention-check-interval: 1s',
      'dbs:',
      `  - path: ${path}`,
      '    monitor-interval: 20ms',
      '    checkpoint-interval: 1s',
      '    min-checkpoint-page-count: 50',
      `    replica: { type: nats, url: '${this.#url}', sync-interval: 20ms }`,
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    return file;
  }

  #output(whose: string): string {
    return join(this.directory, `${whose}-${this.#runs++}.db`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

export class Replicating implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  /** What it has said, for a failure's message. */
  output = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('close', () => resolve());
      child.once('error', () => resolve());
    });
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (data: Buffer) => {
        this.output = (this.output + data).slice(-20_000);
      });
  }

  /** In order: it sends the rest before it ends. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

function flagsOf(target: RestoreTarget | undefined): readonly string[] {
  if (target === undefined) return [];
  return 'txid' in target
    ? ['-txid', formatTxid(target.txid)]
    : ['-timestamp', new Date(target.timestamp).toISOString()];
}

function shaOf(path: string): Outcome {
  return { sha: createHash('sha256').update(readFileSync(path)).digest('hex'), path };
}

/** A digest of everything that the application's tables hold; what Litestream adds for itself is left out. */
export function contentOf(path: string): string {
  const db = new DatabaseSync(path, { timeout: 5000 });
  try {
    const hash = createHash('sha256');
    const schema = db
      .prepare("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE '\\_litestream%' ESCAPE '\\' ORDER BY name")
      .all() as { name: string; sql: string | null }[];
    hash.update(JSON.stringify(schema));
    for (const { name, sql } of schema)
      if (sql?.startsWith('CREATE TABLE'))
        for (const row of db.prepare(`SELECT * FROM "${name}" ORDER BY rowid`).iterate())
          hash.update(JSON.stringify(row));
    return hash.digest('hex');
  } finally {
    db.close();
  }
}
