/** After the last round: does what is stored agree with what the clients were told, on every node? */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { LocalNode } from '@canopy/cli';
import type { Clock } from '@canopy/core';
import {
  checkLedger,
  checkWriters,
  type LeaseInterval,
  type LedgerVerdict,
  type Wake,
  type WritersVerdict,
} from '../check/index.ts';
import type { LedgerState, Load } from '../load/index.ts';
import { readJournals } from './journal.ts';
import { thrownAway } from './kept-aside.ts';

export interface Verdict {
  readonly ledger: LedgerVerdict;
  readonly writers: WritersVerdict;
  readonly acknowledged: number;
  /** Nodes whose own copy of the database disagrees with the active one. */
  readonly unequal: readonly string[];
  /** Commits of woken processes that are neither in the log nor kept aside. */
  readonly thrownAway: number;
  readonly holds: boolean;
}

export interface VerdictInput {
  readonly load: Load;
  readonly nodes: readonly LocalNode[];
  readonly initialSum: number;
  readonly final: LedgerState;
  readonly leases: readonly LeaseInterval[];
  readonly wakes: readonly Wake[];
  readonly clock: Clock;
  /**
   * The observer of the lease may have missed renewals, because the NATS server was killed: commits outside of any lease
   * that it saw are then counted and no verdict.
   */
  readonly observerMayBeBlind: boolean;
}

export async function reachVerdict(input: VerdictInput): Promise<Verdict> {
  const { load, nodes, initialSum, final, leases, wakes, clock, observerMayBeBlind } = input;
  const acknowledged = load.acknowledged();
  const commits = readJournals(nodes);
  const ledger = checkLedger({ acknowledged, finalTransfers: final.transfers, accounts: final.accounts, initialSum });
  const writers = checkWriters({ leases, commits, wakes, acknowledged: new Set(acknowledged.map(({ id }) => id)) });
  const unequal = await unequalCopies(nodes, final, clock);
  const stored = new Set(final.transfers.map(({ id }) => id));
  const gone = thrownAway(writers.divergentCommits, stored, nodes).length;
  return {
    ledger,
    writers,
    acknowledged: acknowledged.length,
    unequal,
    thrownAway: gone,
    holds:
      ledger.lost === 0 &&
      ledger.duplicated === 0 &&
      ledger.invariant &&
      writers.dualWriters === 0 &&
      (observerMayBeBlind || writers.unleased === 0) &&
      writers.epochsOutOfOrder === 0 &&
      gone === 0 &&
      unequal.length === 0 &&
      acknowledged.length > 0,
  };
}

/** Reads each node's database file beside the running cluster; a standby may need a moment to apply the last commits. */
async function unequalCopies(nodes: readonly LocalNode[], final: LedgerState, clock: Clock): Promise<string[]> {
  const expected = `${final.transfers.length} ${final.accounts.reduce((sum, { balance }) => sum + balance, 0)}`;
  const unequal: string[] = [];
  for (const node of nodes) {
    let found = '';
    for (let tries = 0; tries < 100 && found !== expected; tries++) {
      if (tries > 0) await clock.sleep(100);
      found = summarise(join(node.home, 'data', 'ledger.db'));
    }
    if (found !== expected) unequal.push(`${node.name}: ${found} instead of ${expected}`);
  }
  return unequal;
}

function summarise(file: string): string {
  const database = new DatabaseSync(file, { timeout: 5000 });
  try {
    database.exec('PRAGMA query_only = 1');
    const row = database
      .prepare('SELECT (SELECT count(*) FROM transfers) AS transfers, (SELECT sum(balance) FROM accounts) AS total')
      .get() as { transfers: number; total: number };
    return `${row.transfers} ${row.total}`;
  } finally {
    database.close();
  }
}
