/** Against a model of writers, checkpoints and passes: who waits for the log is told neither too early nor too late. */
import { settle } from '@canopy/core/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StoredWaiters, type WalMark } from '../../src/primary/stored-waiters.ts';

/** A place in the WAL's generation of that number; salts say nothing about which came first. */
const at = (generation: number, offset: number): WalMark => ({
  salt1: (generation * 0x9e3779b1) >>> 0,
  salt2: (generation * 0x85ebca6b) >>> 0,
  offset,
});
const fine = (): void => {};

/** Commits that one entry takes at most. */
const ENTRY = 3;
/** Enough for all that 40 steps can leave behind. */
const PASSES = (40 * 24) / ENTRY;

interface Read {
  readonly end: WalMark;
  /** Of all generations. */
  readonly commits: number;
  readonly more: boolean;
}

/** Writers, a WAL that begins anew after checkpoints, and passes over it as a primary makes them. Counts commits. */
class Model {
  readonly waiters = new StoredWaiters<{ readonly stored: number; readonly passes: number }>();
  readonly syncs: {
    committed: number;
    backlog: number;
    passes: number;
    told: Promise<{ stored: number; passes: number }>;
  }[] = [];
  #committed = 0;
  #stored = 0;
  #read = 0;
  #passes = 0;
  #generation = 1;
  /** What had been committed when the generation began. */
  #base = 0;
  #restarts = false;
  #pending: Read | undefined;
  #cursor: WalMark | undefined;
  #storedEnd: WalMark | undefined;

  commit(count: number): void {
    if (count > 0 && this.#restarts) this.#restart();
    this.#committed += count;
  }

  sync(): void {
    const backlog = this.#committed - this.#stored;
    this.syncs.push({
      committed: this.#committed,
      backlog,
      passes: this.#passes,
      told: this.waiters.add(this.#committedEnd(), this.#storedEnd),
    });
  }

  /** With writers kept out, the rest is read; where that is not all of it, nothing is copied. */
  checkpoint(): void {
    // Of a WAL that is lost nothing is taken.
    if (this.#pending !== undefined || this.#read < this.#base) return;
    if (this.#read < this.#committed) this.#pending = this.#next();
    this.#restarts = this.#read === this.#committed;
  }

  /** The WAL begins anew over what nobody has read. */
  lose(): void {
    if (this.#read < this.#committed) this.#restart();
  }

  pass(during: () => void): void {
    this.#passes++;
    this.waiters.begin(() => this.#committedEnd(), this.#storedEnd);
    during();
    if (this.#pending !== undefined) this.#deliver(during);
    if (this.#pending !== undefined) {
      this.waiters.again();
      return;
    }
    if (this.#read < this.#base) this.#pending = this.#image();
    else if (this.#read < this.#committed) this.#pending = this.#next();
    const more = this.#pending?.more ?? false;
    if (this.#pending !== undefined) this.#deliver(during);
    if (more) this.waiters.again();
    else this.waiters.end(this.#now());
  }

  #deliver(during: () => void): void {
    const entry = this.#pending as Read;
    during();
    this.#pending = entry.more && this.#read >= this.#base ? this.#next() : undefined;
    this.#stored = entry.commits;
    this.#storedEnd = entry.end;
    this.waiters.stored(entry.end, this.#now(), fine);
  }

  #next(): Read {
    const commits = Math.min(this.#read + ENTRY, this.#committed);
    this.#read = commits;
    this.#restarts = false;
    this.#cursor = this.#place(commits);
    return { end: this.#place(commits), commits, more: commits < this.#committed };
  }

  #image(): Read {
    this.#read = this.#committed;
    this.#cursor = this.#place(this.#read);
    return { end: this.#place(this.#read), commits: this.#read, more: false };
  }

  /** A generation in which nothing is committed is told by where the one before was read to. */
  #committedEnd(): WalMark | undefined {
    if (this.#committed === this.#base) return this.#restarts ? this.#cursor : undefined;
    return this.#place(this.#committed);
  }

  #place(commits: number): WalMark {
    return at(this.#generation, 32 + (commits - this.#base) * 100);
  }

  #now(): { stored: number; passes: number } {
    return { stored: this.#stored, passes: this.#passes };
  }

  #restart(): void {
    this.#generation++;
    this.#base = this.#committed;
    this.#restarts = false;
  }
}

test('whatever happens, nobody is told too early, and nobody waits for more than was there', async () => {
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constant('pass' as const),
        commits: fc.nat(8),
        syncs: fc.boolean(),
        loses: fc.boolean(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('sync' as const) }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('commit' as const), commits: fc.nat(12) }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('checkpoint' as const) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('lose' as const) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const model = new Model();
      for (const step of steps) {
        if (step.type === 'sync') model.sync();
        else if (step.type === 'commit') model.commit(step.commits);
        else if (step.type === 'checkpoint') model.checkpoint();
        else if (step.type === 'lose') model.lose();
        else
          model.pass(() => {
            model.commit(step.commits);
            if (step.syncs) model.sync();
            if (step.loses) model.lose();
          });
      }
      // From here on the writer outruns the log for ever, and nobody else comes.
      for (let i = 0; i < PASSES; i++) model.pass(() => model.commit(2 * ENTRY));
      const untold = settle().then(() => undefined);
      for (const { committed, backlog, passes, told } of model.syncs) {
        const answer = await Promise.race([told, untold]);
        expect(answer, 'somebody waits for ever').toBeDefined();
        const { stored, passes: toldIn } = answer as NonNullable<typeof answer>;
        expect(stored).toBeGreaterThanOrEqual(committed);
        // Besides what was there: what is written until the next pass marks its end, three looks at most.
        expect(toldIn - passes).toBeLessThanOrEqual(Math.ceil((backlog + 12 * 40) / ENTRY) + 4);
      }
    }),
    { numRuns: 1500 },
  );
});
