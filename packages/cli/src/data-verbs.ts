/** The verbs of an app's database and its snapshots: what each is called, takes and explains. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { TIME_HELP, TXID_HELP } from './database-verbs.ts';
import type { VerbContext } from './election-verbs.ts';

export interface DataVerbContext extends VerbContext {
  readonly findsCluster: (command: Command) => Command;
}

export function addDataVerbs(program: Command, db: Command, context: DataVerbContext): void {
  const { verb, printer, cluster, done, findsCluster } = context;
  findsCluster(verb(db, 'sync <app>', 'wait until everything committed is in the log, and say so'))
    .addOption(new Option('--applied <count>', 'and until this many standbys have it in their files').argParser(count))
    .addHelpText('after', SYNC_HELP)
    .action(async (app, options) =>
      done(
        await (await import('./commands/db-sync.ts')).syncDatabase(
          app,
          { ...cluster(options), applied: options.applied },
          printer(),
        ),
      ),
    );
  addDivergenceVerbs(db, context);
  addSnapshotVerbs(program, context);
}

function addDivergenceVerbs(db: Command, { verb, printer, cluster, done, findsCluster }: DataVerbContext): void {
  const load = () => import('./commands/divergence.ts');
  const divergence = verb(db, 'divergence', 'commits of a node that never reached the others').addHelpText(
    'after',
    DIVERGENCE_HELP,
  );
  const names = (command: Command): Command =>
    findsCluster(command).option('--node <node>', 'which node keeps it, when several have that id');
  findsCluster(verb(divergence, 'list <app>', 'what each node has kept aside, and how much disk it takes')).action(
    async (app, options) => done(await (await load()).listDivergences(app, cluster(options), printer())),
  );
  names(verb(divergence, 'show <app> <id>', 'which rows were added, changed, removed'))
    .addOption(new Option('--limit <rows>', 'show at most so many rows').argParser(count).default(100))
    .action(async (app, id, options) =>
      done(await (await load()).showDivergence(app, id, { ...cluster(options), limit: options.limit }, printer())),
    );
  names(verb(divergence, 'export <app> <id>', 'every changed row, as JSON lines or as SQL'))
    .option('--to <file>', 'write it there instead of to standard output')
    .addOption(new Option('--format <format>', 'default: sql for a file that ends so').choices(['jsonl', 'sql']))
    .option('--overwrite', 'replace a file that is there')
    .action(async (app, id, options) =>
      done(await (await load()).exportDivergence(app, id, { ...cluster(options), ...options }, printer())),
    );
  names(verb(divergence, 'delete <app> <id>', 'remove a kept copy for good'))
    .option('--yes', 'it is the only copy, and may go')
    .action(async (app, id, options) =>
      done(await (await load()).deleteDivergence(app, id, { ...cluster(options), ...options }, printer())),
    );
}

function addSnapshotVerbs(program: Command, { verb, printer, cluster, done, findsCluster }: DataVerbContext): void {
  const load = () => import('./commands/snapshot.ts');
  const snapshot = verb(program, 'snapshot', 'named states of a database, and going back').addHelpText(
    'after',
    SNAPSHOT_HELP,
  );
  findsCluster(verb(snapshot, 'create <app>', 'keep the present state under a name'))
    .option('--name <name>', 'its id (default: made from time and transaction)')
    .action(async (app, options) =>
      done(await (await load()).createSnapshot(app, { ...cluster(options), name: options.name }, printer())),
    );
  findsCluster(verb(snapshot, 'list <app>', 'what there is to go back to')).action(async (app, options) =>
    done(await (await load()).listSnapshots(app, cluster(options), printer())),
  );
  findsCluster(
    verb(snapshot, 'restore <app> [id]', 'make a database file from a snapshot, or from the log at any point'),
  )
    .requiredOption('--to <file>', 'the file to make')
    .option('--txid <txid>', TXID_HELP)
    .option('--time <time>', TIME_HELP)
    .option('--overwrite', 'replace a file that is there; nothing may have it open')
    .addOption(
      new Option('--check <method>', 'integrity check before the file appears')
        .choices(['none', 'quick', 'full'])
        .default('full'),
    )
    .action(async (app, id, options) =>
      done(await (await load()).restoreSnapshot(app, id, { ...cluster(options), ...options }, printer())),
    );
  findsCluster(verb(snapshot, 'delete <app> <id>', 'remove a snapshot for good')).action(async (app, id, options) =>
    done(await (await load()).deleteSnapshot(app, id, cluster(options), printer())),
  );
}

function count(value: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError('write a whole number from 1');
  return number;
}

const SYNC_HELP = `
Examples:
  canopy db sync ledger
  canopy db sync ledger --applied 2 --timeout 30s

Before a risky step: exit code 0 says that whatever was committed before this command survives the loss of the primary.
Exit code 5: not within --timeout; the message says how many standbys had it.`;

const DIVERGENCE_HELP = `
Examples:
  canopy db divergence list ledger
  canopy db divergence show ledger 7-00000000000004d2
  canopy db divergence export ledger 7-00000000000004d2 --to lost.sql
  canopy db divergence delete ledger 7-00000000000004d2 --yes

A node that was cut off, or whose machine died, may come back with commits that nobody else ever had. The cluster goes on
without them; the node keeps them aside, as a full copy of the database, until you have looked and delete it.`;

const SNAPSHOT_HELP = `
Examples:
  canopy snapshot create ledger --name before-upgrade
  canopy snapshot list ledger
  canopy snapshot restore ledger before-upgrade --to /tmp/before.db
  canopy snapshot restore ledger --time 2026-11-21T03:00:00Z --to /tmp/three.db
  canopy snapshot delete ledger before-upgrade

Restoring makes a new file beside everything else: the live database is not touched, and the file appears complete and
checked, or not at all: ctrl-C (exit code 130) and --timeout (5; without it there is no bound) change nothing. list and restore read from NATS themselves and work when no node does.`;
