/** Durable masters keep their promises under turmoil, and the simulation finds those that don't. */
import { afterEach, expect, it, vi } from 'vitest';
import type { MergeFn, StoreChange } from '../../src/index.ts';
import { CausalOrder } from '../../src/multi-master/causal-order.ts';
import { Members } from '../../src/multi-master/members.ts';
import { StoredWaiting } from '../../src/multi-master/stored-waiting.ts';
import type { Disk } from './disk.ts';
import { type SimulationOptions, type SimulationReport, simulate } from './simulation.ts';

const SCHEDULES = Number(process.env.CANOPY_SIM_SEEDS ?? 60);
/** A planted mistake must show within so many schedules. */
const PATIENCE = 1500;

afterEach(() => {
  vi.restoreAllMocks();
});

/** Of two versions the fields of both, the newer one's where both have one. */
const both: MergeFn = (older, newer) => ({ ...newer, data: { ...older.data, ...newer.data } });

async function run(schedules: number, options: Partial<SimulationOptions> = {}): Promise<SimulationReport[]> {
  const reports: SimulationReport[] = [];
  for (let seed = 1; seed <= schedules; seed++) reports.push(await simulate({ seed, ...options }));
  return reports;
}

it(`converge, in causal order, without a loss (${SCHEDULES} schedules)`, async ({ annotate }) => {
  const reports = await run(SCHEDULES);
  const counts: Record<string, number> = {};
  for (const report of reports)
    for (const [what, count] of Object.entries(report.counts)) counts[what] = (counts[what] ?? 0) + count;
  await annotate(JSON.stringify(counts));
  expect(reports.filter(({ violations }) => violations.length > 0)).toEqual([]);
  // The schedules were worth it.
  for (const what of ['deaths', 'disksLost', 'givenUp', 'cuts', 'steps', 'rejected', 'answersLost', 'conflicts'])
    expect(counts[what], what).toBeGreaterThan(SCHEDULES / 2);
});

it.for(['crdt', 'manual', 'custom'] as const)('converge under %s too', async (strategy) => {
  const reports = await run(Math.ceil(SCHEDULES / 5), { strategy, mergeFn: () => both });
  expect(reports.filter(({ violations }) => violations.length > 0)).toEqual([]);
});

it.for(['lww', 'manual'] as const)('converge while masters come, go and take snapshots, under %s', async (strategy) => {
  const reports = await run(Math.ceil(SCHEDULES / 5), { strategy, changing: true });
  expect(reports.filter(({ violations }) => violations.length > 0)).toEqual([]);
  for (const what of ['snapshots', 'left', 'trimmed'])
    expect(reports.filter(({ counts }) => (counts[what] ?? 0) > 0).length, what).toBeGreaterThan(SCHEDULES / 20);
});

it('lose nothing silently where stores come back as older copies of themselves', async ({ annotate }) => {
  const reports = await run(Math.ceil(SCHEDULES / 2), { restoring: true });
  expect(reports.filter(({ violations }) => violations.length > 0)).toEqual([]);
  const sum = (what: string) => reports.reduce((total, { counts }) => total + (counts[what] ?? 0), 0);
  await annotate(`${sum('restored')} restored, ${sum('oldCopies')} stopped`);
  expect(sum('restored')).toBeGreaterThan(SCHEDULES / 4);
  expect(sum('oldCopies')).toBeGreaterThan(0);
});

it('repeat exactly from their seed', async () => {
  expect(await simulate({ seed: 3 })).toEqual(await simulate({ seed: 3 }));
});

const withoutSpace = (space: string) => (changes: readonly StoreChange[]) =>
  changes.filter((change) => change.space !== space || change.value === undefined);

interface Reader {
  readonly order: { readonly seen: Record<string, number> };
}

/** Each is a mistake that somebody could make; the plan says how it is planted. */
const PLANTED: Readonly<Record<string, () => Partial<SimulationOptions>>> = {
  'delivers without causality': () => {
    vi.spyOn(CausalOrder.prototype, 'judge').mockImplementation(function (this: CausalOrder, author, clock) {
      return (clock[author] ?? 0) > this.seen(author) ? 'ready' : 'duplicate';
    });
    return {};
  },
  'a tie goes to the receiver': () => ({
    strategy: 'custom',
    mergeFn: (master) => (older, newer) => (older.data.by === master ? older : newer),
  }),
  'drops the outbox at a crash': () => ({ onRestart: (disk) => disk.spaces.get('outbox')?.clear() }),
  'never stores the outbox': () => ({ tamper: withoutSpace('outbox') }),
  'never stores which conflicts wait': () => ({ strategy: 'manual', tamper: withoutSpace('pending') }),
  'drops what waits': () => ({ tamper: withoutSpace('waiting') }),
  'forgets what it has seen, and keeps the position': () => ({
    onRestart: (disk) => {
      const reader = disk.get<Reader>('meta', 'reader');
      if (reader !== undefined) disk.set('meta', 'reader', { ...reader, order: { seen: {} } });
    },
  }),
  'reuses a number after a crash': () => ({
    onRestart: (disk: Disk, id) => {
      const self = disk.get<{ counter: number }>('meta', 'self');
      const reader = disk.get<Reader>('meta', 'reader');
      if (self === undefined || reader === undefined || self.counter < 1) return;
      disk.set('meta', 'self', { ...self, counter: self.counter - 1 });
      const seen = { ...reader.order.seen, [id]: Math.min(reader.order.seen[id] ?? 0, self.counter - 1) };
      disk.set('meta', 'reader', { ...reader, order: { ...reader.order, seen } });
    },
  }),
  'stores the position without the state': () => ({
    tamper: (changes) => {
      const entities = changes.filter(({ space }) => space === 'entities');
      const own = changes.some(({ space }) => space === 'outbox');
      return own || entities.length < 2 ? changes : changes.filter((change) => change !== entities[0]);
    },
  }),
  'forgets deletes early': () => {
    vi.spyOn(Members.prototype, 'stable').mockImplementation((_self, order) => order.record());
    return {};
  },
  'believes former lives': () => {
    vi.spyOn(Members.prototype, 'accepts').mockReturnValue(true);
    return {};
  },
  'takes an announcement that comes too late': () => {
    const { apply } = Members.prototype;
    vi.spyOn(Members.prototype, 'apply').mockImplementation(function (this: Members, event, at) {
      apply.call(this, { ...event, since: at.sequence } as typeof event, at);
    });
    return {};
  },
  'forgets all that waits of a former life': () => {
    vi.spyOn(StoredWaiting.prototype, 'forgetBehindGap').mockImplementation(function (
      this: StoredWaiting,
      author,
      seen,
    ) {
      for (let number = seen + 1; this.get(author, number) !== undefined; number++) this.delete(author, number);
    });
    return {};
  },
};

it.for(Object.keys(PLANTED))('find a planted mistake: %s', async (name, { annotate }) => {
  const options = PLANTED[name]?.() ?? {};
  for (let seed = 1; seed <= PATIENCE; seed++) {
    const { violations } = await simulate({ seed, patient: false, ...options });
    if (violations.length === 0) continue;
    await annotate(`schedule ${seed}: ${violations[0]?.slice(0, 120)}`);
    return;
  }
  expect.fail(`not found in ${PATIENCE} schedules`);
});
