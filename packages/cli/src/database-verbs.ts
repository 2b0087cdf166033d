/** The verbs of databases that need no platform: what each is called, takes and explains. */
import { type Command, Option } from 'commander';
import type { ClusterOptions } from './connect.ts';
import type { VerbContext } from './election-verbs.ts';
import { addLibraryOptions, FOLLOW, REPLICATE } from './replication-options.ts';

export function addDatabaseVerbs(db: Command, { verb, printer, cluster, done }: VerbContext): void {
  const findsLog = (command: Command): Command =>
    command.requiredOption('--store <place>', 'where the log is: nats://host:4222/bucket, or a directory');
  const bound = () => cluster({});
  const keepsFile = (command: Command): Command =>
    findsLog(command).option('--node <name>', 'names this copy in the log (default: the host name)');

  addLibraryOptions(
    keepsFile(verb(db, 'replicate <file>', 'ship what other programs write to a database, until ctrl-C')).option(
      '--create',
      'where there is no database, make it from the log, or an empty one for a new log',
    ),
    REPLICATE,
  )
    .addHelpText('after', REPLICATE_HELP)
    .action(async (file, options) =>
      done(
        await (await import('./commands/replication.ts')).replicateFile(
          file,
          { ...options, bound: bound() },
          printer(),
        ),
      ),
    );
  addLibraryOptions(
    keepsFile(verb(db, 'follow <file>', 'keep a copy of a database up to date, for reading, until ctrl-C')),
    FOLLOW,
  )
    .addHelpText('after', FOLLOW_HELP)
    .action(async (file, options) =>
      done(
        await (await import('./commands/replication.ts')).followFile(file, { ...options, bound: bound() }, printer()),
      ),
    );
  checksFile(findsLog(verb(db, 'restore', 'make a database file from a log, as of its end or an earlier point')))
    .option('--txid <txid>', TXID_HELP)
    .option('--time <time>', TIME_HELP)
    .addHelpText('after', RESTORE_HELP)
    .action(async (options) =>
      done(await (await import('./commands/log.ts')).restoreLog({ ...options, bound: bound() }, printer())),
    );
  findsLog(verb(db, 'verify', 'prove that a log can be restored, and note in it that it was'))
    .option('--scratch <directory>', 'with room for the whole database (default: where temporary files go)')
    .option('--node <name>', 'names who proved it (default: the host name)')
    .addHelpText('after', VERIFY_HELP)
    .action(async (options) =>
      done(await (await import('./commands/log.ts')).verifyLog({ ...options, bound: bound() }, printer())),
    );
  findsLog(verb(db, 'ltx', 'what a log consists of'))
    .addOption(new Option('--level <level>', 'only this level').choices([...'0123456789']))
    .addHelpText('after', LTX_HELP)
    .action(async (options) =>
      done(await (await import('./commands/log.ts')).listLog({ ...options, bound: bound() }, printer())),
    );
  addLogSnapshotVerbs(db, { verb, printer, done, findsLog, bound });
}

interface LogVerbContext extends Pick<VerbContext, 'verb' | 'printer' | 'done'> {
  readonly findsLog: (command: Command) => Command;
  readonly bound: () => ClusterOptions;
}

function addLogSnapshotVerbs(db: Command, { verb, printer, done, findsLog, bound }: LogVerbContext): void {
  const load = () => import('./commands/log-snapshots.ts');
  const snapshot = verb(db, 'snapshot', 'named states of a log, and going back').addHelpText('after', SNAPSHOT_HELP);
  findsLog(
    verb(snapshot, 'create [name]', 'keep what the log has now under a name (default: from time and transaction)'),
  )
    .option('--node <name>', 'names who made it (default: the host name)')
    .option('--scratch <directory>', 'for what is merged on the way (default: where temporary files go)')
    .action(async (name, options) =>
      done(await (await load()).createLogSnapshot(name, { ...options, bound: bound() }, printer())),
    );
  findsLog(verb(snapshot, 'list', 'what there is to go back to')).action(async (options) =>
    done(await (await load()).listLogSnapshots({ ...options, bound: bound() }, printer())),
  );
  checksFile(findsLog(verb(snapshot, 'restore <name>', 'make a database file from a named snapshot'))).action(
    async (name, options) =>
      done(await (await load()).restoreLogSnapshot(name, { ...options, bound: bound() }, printer())),
  );
  findsLog(verb(snapshot, 'delete <name>', 'remove a snapshot for good')).action(async (name, options) =>
    done(await (await load()).deleteLogSnapshot(name, { ...options, bound: bound() }, printer())),
  );
}

function checksFile(command: Command): Command {
  return command
    .requiredOption('--to <file>', 'the file to make')
    .option('--overwrite', 'replace a file that is there; nothing may have it open')
    .addOption(
      new Option('--check <method>', 'integrity check before the file appears')
        .choices(['none', 'quick', 'full'])
        .default('full'),
    );
}

/** What --txid and --time say of themselves, wherever they are. */
export const TXID_HELP = 'as of this transaction: a number (see db ltx), or a position such as 3.00000000000004d2';
export const TIME_HELP =
  'as of before this moment, in UTC: 2026-11-21, 2026-11-21T03:00, 2026-11-21T03:00:00Z; another zone: 2026-11-21T04:00+01:00';

const REPLICATE_HELP = `
Examples:
  canopy db replicate /var/lib/orders.db --store nats://127.0.0.1:4222/orders
  canopy db replicate /var/lib/orders.db --store /mnt/backup/orders --snapshot-interval 30m --retention 7d

The database may be in use by any program; one in rollback mode is switched to WAL mode, which lasts. Starting takes the
log over: a primary that had it before is fenced and stops, with exit code 1, and what it has not shipped stays in its file.
SIGTERM and ctrl-C ship what is committed first; before it has begun, ctrl-C leaves nothing running (exit code 130).
--timeout, when it is given, bounds the start. While it runs: canopy db sync --file, canopy db status --file.

A duration is a number with ms, s, m, h or d. A shorter --retention frees room, shorter --compaction-levels give more points to
go back to. Commits are acknowledged by SQLite as ever and shipped within milliseconds; db sync waits for that.`;

const FOLLOW_HELP = `
Example:
  canopy db follow /var/lib/orders-copy.db --store nats://127.0.0.1:4222/orders

Readers open the copy with a busy timeout and PRAGMA query_only=1; nobody may write to it. To make it the primary: stop
this, and start canopy db replicate on the same file and store.`;

const RESTORE_HELP = `
Examples:
  canopy db restore --store nats://127.0.0.1:4222/orders --to /tmp/orders.db
  canopy db restore --store /mnt/backup/orders --to /tmp/orders.db --time 2026-11-21T03:00:00Z

The file appears when it is complete and checked, or not at all: ctrl-C (exit code 130), --timeout (5; without it there is no
bound), a full disk (7) change nothing. --txid takes a number, 16 hex digits, or a position EPOCH.TXID as it is printed: then the
log must have that transaction from that epoch (else exit code 3). litestream restore reads the same bucket.`;

const VERIFY_HELP = `
Examples:
  canopy db verify --store nats://127.0.0.1:4222/orders
  canopy db verify --store /mnt/backup/orders --scratch /var/tmp --output json

Restores the end of the log into a scratch file, runs SQLite's integrity_check over it and removes it; nothing else is
touched. The log then says when that was: canopy db status shows it. Exit code 1 when what the log gives is no sound
database; 3 when it is empty, 4 when it can't be reached, 7 when there is no room: those prove nothing.`;

const LTX_HELP = `
Examples:
  canopy db ltx --store nats://127.0.0.1:4222/orders --level 9
  canopy db ltx --store /mnt/backup/orders --output json

Level 0 has one object a transaction, 9 full snapshots. FROM and TO are transactions, as --txid of db restore takes them.`;

const SNAPSHOT_HELP = `
Examples:
  canopy db snapshot create before-upgrade --store nats://127.0.0.1:4222/orders
  canopy db snapshot list --store nats://127.0.0.1:4222/orders
  canopy db snapshot restore before-upgrade --store nats://127.0.0.1:4222/orders --to /tmp/before.db
  canopy db snapshot delete before-upgrade --store nats://127.0.0.1:4222/orders

Made from the log alone, so from anywhere; what was committed a moment ago is in it after canopy db sync --file. Each stays until
it is deleted, in a place of its own beside the log: the bucket or directory with _snapshots or -snapshots behind its name.`;
