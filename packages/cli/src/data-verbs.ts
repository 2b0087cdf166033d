/** The verbs of an app's database and its snapshots: what each is called, takes and explains. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { TIME_HELP, TXID_HELP } from './database-verbs.ts';
import type { VerbContext } from './election-verbs.ts';
import { cliErrors } from './errors.ts';

export interface DataVerbContext extends VerbContext {
  readonly findsCluster: (command: Command) => Command;
}

export function addDataVerbs(program: Command, db: Command, context: DataVerbContext): void {
  const { verb, printer, cluster, done, findsCluster } = context;
  findsCluster(verb(db, 'sync [app]', 'wait until everything committed is in the log, and say so'))
    .option('--file <database>', 'of the canopy db replicate of this file on this machine, instead of an app')
    .addOption(new Option('--applied <count>', 'and until this many standbys have it in their files').argParser(count))
    .addHelpText('after', SYNC_HELP)
    .action(async (app, options) => {
      const place = placeOf('db sync', app, options);
      const given = { ...cluster(options), applied: options.applied };
      const verbs = await import('./commands/db-sync.ts');
      done(
        'file' in place
          ? await verbs.syncFile(place.file, given, printer())
          : await verbs.syncDatabase(place.app, given, printer()),
      );
    });
  addDivergenceVerbs(db, context);
  addSnapshotVerbs(program, context);
}

function addDivergenceVerbs(db: Command, { verb, printer, cluster, done, findsCluster }: DataVerbContext): void {
  const load = () => import('./commands/divergence.ts');
  const divergence = verb(db, 'divergence', 'commits of a node that never reached the others').addHelpText(
    'after',
    DIVERGENCE_HELP,
  );
  const finds = (command: Command): Command =>
    findsCluster(command).option(
      '--file <database>',
      'what is kept beside this file here, instead of by the nodes of an app',
    );
  const names = (usage: string, summary: string): Command =>
    finds(verb(divergence, `${usage} <app-and-id...>`, summary))
      .usage(`[options] <app> <id>\n       canopy db divergence ${usage} [options] --file <database> <id>`)
      .option('--node <node>', 'which node keeps it, when several have that id');
  const read = (usage: string, words: readonly string[], options: { readonly file?: string }) => {
    const command = `db divergence ${usage}`;
    const [app, id] = options.file === undefined ? words : [undefined, words[0]];
    if (id === undefined || words.length !== (app === undefined ? 1 : 2))
      throw usageError(command, 'give an app and an id, or --file and an id (canopy db divergence list has them)');
    return { place: placeOf(command, app, options), id };
  };
  finds(verb(divergence, 'list [app]', 'what each node has kept aside, and how much disk it takes')).action(
    async (app, options) => {
      const place = placeOf('db divergence list', app, options);
      done(await (await load()).listDivergences(place, cluster(options), printer()));
    },
  );
  names('show', 'which rows were added, changed, removed')
    .addOption(new Option('--limit <rows>', 'show at most so many rows').argParser(count).default(100))
    .action(async (words, options) => {
      const { place, id } = read('show', words, options);
      done(await (await load()).showDivergence(place, id, { ...cluster(options), limit: options.limit }, printer()));
    });
  names('export', 'every changed row, as JSON lines or as SQL')
    .option('--to <file>', 'write it there instead of to standard output')
    .addOption(new Option('--format <format>', 'default: sql for a file that ends so').choices(['jsonl', 'sql']))
    .option('--overwrite', 'replace a file that is there')
    .action(async (words, options) => {
      const { place, id } = read('export', words, options);
      done(await (await load()).exportDivergence(place, id, { ...cluster(options), ...options }, printer()));
    });
  names('delete', 'remove a kept copy for good')
    .option('--yes', 'it is the only copy, and may go')
    .action(async (words, options) => {
      const { place, id } = read('delete', words, options);
      done(await (await load()).deleteDivergence(place, id, { ...cluster(options), ...options }, printer()));
    });
}

/** Throws USAGE unless it is an app or a file, and a file alone. */
function placeOf(
  command: string,
  app: string | undefined,
  options: { readonly file?: string; readonly server?: string; readonly platform?: string; readonly config?: string },
): { readonly app: string } | { readonly file: string } {
  const { file, server, platform, config } = options;
  if (app !== undefined && file === undefined) return { app };
  const isCluster = [app, server, platform, config].some((one) => one !== undefined);
  if (file !== undefined && file !== '' && !isCluster) return { file };
  if (file === undefined) throw usageError(command, 'name an app, or a database with --file');
  if (file === '') throw usageError(command, '--file names no file');
  throw usageError(command, 'give --file, or an app with --server, --platform and --config: a file is on this machine');
}

function usageError(command: string, problem: string): Error {
  return cliErrors.create('USAGE', { command: `npx canopy ${command}`, problem });
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
  canopy db sync --file /var/lib/orders.db
  canopy db sync --file /var/lib/orders.db --applied 1

Before a risky step: exit code 0 says that whatever was committed before this command survives the loss of the primary.
Exit code 5: not within --timeout; the message says how many standbys had it. --applied needs a log in NATS: copies of a log in
a directory have no way to say what they have applied (exit code 2).`;

const DIVERGENCE_HELP = `
Examples:
  canopy db divergence list ledger
  canopy db divergence show ledger 7-00000000000004d2
  canopy db divergence export ledger 7-00000000000004d2 --to lost.sql
  canopy db divergence delete ledger 7-00000000000004d2 --yes
  canopy db divergence list --file /var/lib/orders.db

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
