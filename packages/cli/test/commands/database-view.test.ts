import { epoch } from '@canopy/core';
import type { AppStatus } from '@canopy/platform';
import { expect, it } from 'vitest';
import { databaseText } from '../../src/commands/database-view.ts';
import { statusText } from '../../src/commands/log-status.ts';

const NOW = Date.parse('2026-05-04T12:00:00Z');
type Database = NonNullable<AppStatus['database']>;

function database(facts: Partial<Database>): Database {
  return {
    kind: 'sqlite',
    role: 'standby',
    path: '/data/a.db',
    position: { epoch: epoch(3), txid: 18 },
    logEnd: undefined,
    lag: { tx: 0, ms: 0, bytes: 0 },
    sizeBytes: undefined,
    lastSnapshotAt: undefined,
    lastVerifiedAt: undefined,
    divergences: [],
    problem: undefined,
    ...facts,
  };
}

function text(databases: Readonly<Record<string, Partial<Database> | undefined>>): string {
  const instances = Object.entries(databases).map(([node, facts]) => ({
    node,
    status: facts === undefined ? undefined : ({ node, epoch: 3, database: database(facts) } as AppStatus),
    error: undefined,
  }));
  const overview = { app: 'ledger', active: undefined, epoch: undefined, instances };
  return databaseText({ overview, kept: [], snapshot: undefined, problems: [] }, NOW);
}

it('says who is primary, and how far behind everyone is; what is unknown is never shown as nothing', () => {
  const said = text({
    n1: { role: 'primary', sizeBytes: 12_000_000 },
    n2: { lag: { tx: 12, ms: 3200, bytes: 40_000 } },
    n3: { lag: { tx: 1, ms: undefined, bytes: undefined } },
    n4: { lag: { tx: undefined, ms: undefined, bytes: undefined } },
    n5: {},
    n6: undefined,
  });
  expect(said).toMatch(/^ledger: n1 is primary under epoch 3, 12 MB\n/);
  expect(said).toMatch(/n1 +primary +- \(the source\)/);
  expect(said).toMatch(/n2 +standby +12 transactions, 3\.2s, 40 kB /);
  expect(said).toMatch(/n3 +standby +1 transaction, unknown time, unknown bytes /);
  expect(said).toMatch(/n4 +standby +unknown /);
  expect(said).toMatch(/n5 +standby +nothing /);
  expect(said).toMatch(/n6 +no answer +unknown /);
  expect(said).toMatch(/restore last proven: +never, as far as is known/);
});

it('a primary that does not know what the log has says so, and never that it has everything', () => {
  const lag = { tx: undefined, ms: undefined, bytes: undefined };
  expect(text({ n1: { role: 'primary', lag } })).toMatch(
    /n1 +primary +not yet in the log: unknown, commits are on their way /,
  );
  const said = text({ n1: { role: 'primary', lag, problem: 'the log does not take transactions' } });
  expect(said).toMatch(/n1 +primary +not yet in the log: unknown, commits may be waiting /);
  const alone = (facts: Partial<Database>): string => statusText(database({ role: 'primary', ...facts }), NOW);
  expect(alone({})).toMatch(/not yet in the log: +nothing\n/);
  expect(alone({ lag })).toMatch(/not yet in the log: +unknown, commits are on their way\n/);
  expect(alone({ lag, problem: 'away' })).toMatch(
    /not yet in the log: +unknown, commits may be waiting\n[\s\S]*! away/,
  );
});

it('takes the newest of what the nodes know of snapshots and proofs', () => {
  const said = text({
    n1: { role: 'primary', lastSnapshotAt: NOW - 3_600_000, lastVerifiedAt: NOW - 7_200_000 },
    n2: { lastSnapshotAt: NOW - 60_000 },
  });
  expect(said).toMatch(/last snapshot: +1m ago \(2026-05-04T11:59:00\.000Z\)/);
  expect(said).toMatch(/restore last proven: +2h ago/);
});

it('before the first snapshot tells of the full copy that the log begins with, and of copies that are being made', () => {
  const said = text({
    n1: { role: 'primary', firstCopyAt: NOW - 7_200_000 },
    n2: { role: 'opening', bootstrap: { doneBytes: 3_000_000, totalBytes: 12_000_000 } },
    n3: {
      role: 'opening',
      bootstrap: { doneBytes: 3_000_000, totalBytes: 12_000_000, bytesPerSecond: 1_000_000, leftMs: 9000 },
    },
  });
  expect(said).toMatch(
    /last snapshot: +none yet; the log begins with a full copy, stored 2h ago \(2026-05-04T10:00:00/,
  );
  expect(said).toMatch(/n2 +opening +making its copy: 3.0 MB of 12 MB {2,}/);
  expect(said).toMatch(/n3 +opening +making its copy: 3.0 MB of 12 MB, 1.0 MB\/s, 9s left /);
  expect(text({ n1: { role: 'primary' } })).toMatch(/last snapshot: +none that is known of/);
  expect(text({ n1: { firstCopyAt: NOW - 1000 } })).toMatch(/last snapshot: +unknown while no primary answers/);
});

it('a copy alone does not know of snapshots that came after it began', () => {
  const alone = (facts: Partial<Database>): string => statusText(database(facts), NOW);
  expect(alone({ firstCopyAt: NOW - 1000 })).toMatch(/last snapshot: +unknown here \(see --store\)\n/);
  expect(alone({ lastSnapshotAt: NOW - 60_000 })).toMatch(/last snapshot: +1m ago .*, or later \(see --store\)\n/);
  expect(alone({ role: 'primary' })).toMatch(/last snapshot: +none that is known of\n/);
});

it('without a primary says so; copies whose size is not known are still counted; a warning is said once', () => {
  const warnings = [{ code: 'W', message: 'one copy', hint: 'three' }];
  const said = text({ n1: { divergences: ['/d'], warnings }, n2: { warnings } });
  expect(said).toMatch(/^ledger: no node is primary/);
  expect(said).toMatch(/kept aside: +1 copy, size unknown; never removed by itself/);
  expect(said.match(/note: one copy\n {2}→ three/g)).toHaveLength(1);
});
