/**
 * How long nothing can be written when a primary hands over on purpose: from the last commit on the one node to the first
 * on the other, as an application on both would see it, back and forth. No commit may be missing. Baseline, where the
 * database is made large first: the same with the database as small as it was before.
 */
import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { epoch } from '@canopy/core';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import type { Pair } from './pair.ts';
import { runWriter } from './programs.ts';

export interface HandoverOptions {
  /** Added to the database before the second half; 0: there is none. */
  readonly megabytes: number;
  readonly rounds: number;
}

export async function measureHandover(pair: Pair, report: Report, options: HandoverOptions): Promise<void> {
  const { megabytes, rounds } = options;
  const course = new Course(pair);
  await course.begin();
  const small = await course.run(rounds);
  if (megabytes > 0) {
    await runWriter({ path: pair.primaryPath, megabytes });
    await pair.settle();
  }
  const gaps = megabytes > 0 ? await course.run(rounds) : small;
  const sizeMb = Math.round((pair.primary.status().sizeBytes ?? 0) / 1e6);
  report.note(`handed over ${rounds} times with ${sizeMb} MB; ${course.lost} commits were lost`);
  report.figure('handover_gap.p50', 'ms', gaps.p50, megabytes > 0 ? small.p50 : undefined);
  report.figure('handover_gap.p99', 'ms', gaps.p99, megabytes > 0 ? small.p99 : undefined, {
    of: 'value',
    atMost: 250,
  });
  report.figure('handover_lost', 'commits', course.lost, undefined, { of: 'value', atMost: 0 });
}

class Course {
  readonly #pair: Pair;
  #committed = 0;
  #epoch = 1;
  lost = 0;

  constructor(pair: Pair) {
    this.#pair = pair;
  }

  async begin(): Promise<void> {
    using database = new DatabaseSync(this.#pair.primaryPath, { timeout: 10_000 });
    database.exec('CREATE TABLE IF NOT EXISTS handed (id INTEGER PRIMARY KEY, data BLOB)');
    await this.#pair.settle();
  }

  /** An even number of times, so that the primary is where it was. */
  async run(rounds: number): Promise<Samples> {
    const gaps = new Samples();
    for (let round = 0; round < rounds + (rounds % 2); round++) gaps.add(await this.#once(round % 2 === 0));
    return gaps;
  }

  async #once(isThere: boolean): Promise<number> {
    const { clock } = this.#pair.env;
    const ends = [
      { node: this.#pair.primary, path: this.#pair.primaryPath },
      { node: this.#pair.standby, path: this.#pair.standbyPath },
    ] as const;
    const [from, to] = isThere ? ends : [ends[1], ends[0]];
    // Some commits of the last moment are still to be shipped.
    for (let i = 0; i < 20; i++) this.#commit(from.path);
    const lastAt = clock.monotonic();
    // A successor is let in as soon as everything is in the log, as the platform does it.
    const shipped = Promise.withResolvers<void>();
    const demoted = from.node.demote({ onShipped: () => shipped.resolve() });
    await Promise.race([shipped.promise, demoted]);
    this.#epoch += 1;
    await to.node.promote({ epoch: epoch(this.#epoch), signal: AbortSignal.timeout(30_000) });
    this.#commit(to.path);
    const gapMs = clock.monotonic() - lastAt;
    this.lost += this.#committed - countOf(to.path);
    await demoted;
    await from.node.waitFor(await to.node.sync(), { signal: AbortSignal.timeout(30_000) });
    return gapMs;
  }

  #commit(path: string): void {
    using database = new DatabaseSync(path, { timeout: 10_000 });
    database.exec('PRAGMA synchronous = NORMAL');
    database.prepare('INSERT INTO handed (data) VALUES (?)').run(randomBytes(100));
    this.#committed += 1;
  }
}

function countOf(path: string): number {
  using database = new DatabaseSync(path, { timeout: 10_000 });
  return Number(database.prepare('SELECT count(*) AS n FROM handed').get()?.n);
}
