/**
 * The command tree: what each verb is called, takes and explains. Parsing only: each action calls one function of
 * `commands/` and its number becomes the exit code. A verb's code is loaded when it is run: a node must not carry the
 * play cluster's, and help must be quick.
 */

import { parseDuration } from '@canopy/core';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { ClusterOptions } from './connect.ts';
import { addDataVerbs } from './data-verbs.ts';
import { addDatabaseVerbs } from './database-verbs.ts';
import { addElectionVerbs } from './election-verbs.ts';
import { cliErrors } from './errors.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { createPrinter, type OutputFormat, type Printer, type Streams } from './output/printer.ts';
import { addReplicationVerbs } from './replication-verbs.ts';
import { VERSION } from './version.ts';

export interface Invocation {
  /** Without `node` and the script: `['status', '--output', 'json']`. */
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly streams: Streams;
}

interface GlobalOptions {
  output: OutputFormat;
  timeout?: number;
}

/** Parses, runs, prints; resolves with the exit code and never rejects. */
export async function runCli(invocation: Invocation): Promise<number> {
  let exit: number = EXIT.ok;
  const program = buildProgram(invocation, (code) => {
    exit = code;
  });
  const json = wantsJson(invocation.args);
  const fail = (error: unknown): number => {
    createPrinter(json ? 'json' : 'table', invocation.streams).error(error);
    return exitCodeOf(error);
  };
  try {
    await program.parseAsync([...invocation.args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) return fail(error);
    // For people the parser has said it already, with the help beside it.
    if (error.exitCode !== 0) return json ? fail(usageError(error, program, invocation.args)) : EXIT.usage;
  }
  const reason = (await invocation.streams.out.failure?.())?.message;
  return reason === undefined ? exit : fail(cliErrors.create('OUTPUT_UNWRITABLE', { reason }));
}

function usageError(error: CommanderError, program: Command, args: readonly string[]): Error {
  const problem = error.code === 'commander.help' ? 'no verb is given' : error.message.replace(/^error: /, '');
  const verb = program.commands.map((command) => command.name()).find((name) => args.includes(name));
  return cliErrors.create('USAGE', { command: verb === undefined ? 'npx canopy' : `npx canopy ${verb}`, problem });
}

/** The tree itself; also what shell completion walks. */
export function buildProgram(invocation: Invocation, done: (exit: number) => void): Command {
  const { args, environment, streams } = invocation;
  const json = wantsJson(args);
  const program = new Command('canopy')
    .description(
      'Keeps stateful applications, with their SQLite data, running through the death of processes and machines.',
    )
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .addOption(
      new Option('-o, --output <format>', 'how results are printed').choices(['table', 'json']).default('table'),
    )
    .addOption(
      new Option('--timeout <duration>', 'give up after this long').argParser(durationMs).default(10_000, '10s'),
    )
    .showSuggestionAfterError(true)
    .configureOutput({
      writeOut: (text) => streams.out.write(text),
      writeErr: (text) => {
        if (!json) streams.err.write(text);
      },
    })
    .exitOverride()
    .addHelpText('after', PROGRAM_HELP);
  const printer = () => createPrinter(program.opts<GlobalOptions>().output, streams);
  const cluster = (options: Record<string, unknown>): ClusterOptions => ({
    ...options,
    timeoutMs: program.opts<GlobalOptions>().timeout ?? 10_000,
    isTimeoutGiven: program.getOptionValueSource('timeout') === 'cli',
    environment,
  });
  const verb = (parent: Command, usage: string, summary: string): Command =>
    parent
      .command(usage)
      .description(summary)
      .showHelpAfterError('(add --help for the options of this verb)')
      .addHelpText('after', () => HELP[parent === program ? usage : `${parent.name()} ${usage}`] ?? '')
      .addHelpText('after', GLOBAL_HELP);
  const findsCluster = (command: Command): Command =>
    command
      .option('-s, --server <url>', 'NATS server, several separated by commas (or NATS_URL)')
      .option('-p, --platform <name>', 'platform (or PLATFORM)')
      .option('-c, --config <file>', 'take server, credentials and platform from this configuration')
      .option('--dir <directory>', 'directory of a running `canopy up`', '.canopy');

  verb(program, 'up', 'start a NATS server and a few nodes here, to play with')
    .addOption(new Option('-n, --nodes <count>', 'how many nodes').argParser(count).default(1))
    .option('-e, --example <name>', 'run this example on them, such as "ledger"')
    .option('-c, --config <file>', 'run the apps of this configuration; {node}, {index}, {port:NAME} are filled in')
    .option('--dir <directory>', 'where everything is kept (default ".canopy")')
    .addOption(
      new Option(
        '--nats-port <port>',
        'port of the NATS server (default: 4222 or the next free one; 0: any free one)',
      ).argParser(port),
    )
    .option('--no-download', 'fail when no nats-server is on this machine, instead of getting one')
    .addOption(new Option('--ttl <duration>', 'lease time of apps that do not say their own').argParser(durationText))
    .action(async (options) => done(await (await import('./commands/up.ts')).upCluster(options, printer())));

  verb(program, 'run', 'run one node in the foreground')
    .requiredOption('-c, --config <file>', 'configuration file, YAML or JSON')
    .option('--node <name>', 'node id (or NODE_ID; default: the host name)')
    .option('-p, --platform <name>', 'platform (or PLATFORM)')
    .option('-s, --server <url>', 'NATS server, several separated by commas (or NATS_URL)')
    .addOption(new Option('--log-level <level>', 'least level logged').choices(['debug', 'info', 'warn', 'error']))
    .option('--log-file <file>', 'write the log there instead of to stderr')
    .addOption(new Option('--parent-pipe <fd>', 'stop when this descriptor closes').argParser(count).hideHelp())
    .action(async (options) => {
      const servers = options.server ?? environment.NATS_URL;
      const overrides = {
        node: options.node ?? environment.NODE_ID,
        platform: options.platform ?? environment.PLATFORM,
        servers: servers?.split(',').map((url: string) => url.trim()),
      };
      done(await (await import('./commands/run.ts')).runNode({ ...options, ...overrides }, printer()));
    });

  findsCluster(verb(program, 'status', 'who is there, who is active, what is wrong')).action(async (options) =>
    done(await (await import('./commands/status.ts')).clusterStatus(cluster(options), printer())),
  );

  const app = verb(program, 'app', 'look at apps');
  findsCluster(verb(app, 'list', 'all apps with their active node'))
    .addHelpText('after', APP_LIST_HELP)
    .action(async (options) => done(await (await import('./commands/app.ts')).appList(cluster(options), printer())));
  findsCluster(verb(app, 'status <app>', 'one app: its nodes, its database, the last hand-overs and failovers')).action(
    async (name, options) =>
      done(await (await import('./commands/app.ts')).appStatus(name, cluster(options), printer())),
  );

  const db = verb(program, 'db', 'look at databases');
  const status = findsCluster(
    verb(db, 'status [app]', 'who is primary, how far behind everyone is, last snapshot, last proven restore'),
  );
  status
    .option('--store <place>', 'of a log without a platform instead: nats://host:4222/bucket, or a directory')
    .option('--file <database>', 'of the canopy db replicate or follow of this file on this machine instead')
    .action(async (name, options) => done(await databaseStatus(name, cluster(options), options, printer())));
  addDatabaseVerbs(db, { verb, printer, cluster, done });
  addDataVerbs(program, db, { verb, printer, cluster, done, findsCluster });

  findsCluster(verb(program, 'stepdown <app>', 'hand an app over to another node, losing nothing'))
    .option('--to <node>', 'the node that shall take over (default: whichever is first)')
    .option('--no-wait', 'do not wait until another node serves')
    .action(async (name, options) =>
      done(await (await import('./commands/stepdown.ts')).stepDown(name, cluster(options), printer())),
    );

  addElectionVerbs(program, { verb, printer, cluster, done });
  addReplicationVerbs(program, { verb, printer, cluster, done });
  return program;
}

async function databaseStatus(
  app: string | undefined,
  options: ClusterOptions,
  { store, file }: { readonly store?: string; readonly file?: string },
  printer: Printer,
): Promise<number> {
  if (store === undefined && file === undefined)
    return (await import('./commands/db.ts')).databaseStatus(app, options, printer);
  const problem =
    store !== undefined && file !== undefined
      ? 'give --store or --file, not both: one is of the log, one of a process here'
      : app !== undefined
        ? 'give an app, or --store or --file, not both: a log that is found by its place has no app'
        : 'server' in options || 'platform' in options || 'config' in options
          ? 'give --store or --file, or --server and --platform, not both: the place names the server'
          : undefined;
  if (problem !== undefined) throw cliErrors.create('USAGE', { command: 'npx canopy db status', problem });
  const verbs = await import('./commands/log-status.ts');
  return store === undefined
    ? verbs.fileStatus(file as string, options, printer)
    : verbs.logStatus({ store, bound: options }, printer);
}

function wantsJson(given: readonly string[]): boolean {
  const end = given.indexOf('--');
  const args = end < 0 ? given : given.slice(0, end);
  return args.some(
    (arg, i) =>
      arg === '--output=json' || arg === '-ojson' || ((arg === '--output' || arg === '-o') && args[i + 1] === 'json'),
  );
}

function durationMs(value: string): number {
  const ms = parseDuration(value);
  if (ms === undefined || ms <= 0) throw new InvalidArgumentError('write a duration such as 10s or 500ms');
  return ms;
}

function durationText(value: string): string {
  durationMs(value);
  return value;
}

function count(value: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 1 || number > 50)
    throw new InvalidArgumentError('write a whole number from 1 to 50');
  return number;
}

function port(value: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0 || number > 65535)
    throw new InvalidArgumentError('write a port from 1 to 65535, or 0 for any free one');
  return number;
}

const PROGRAM_HELP = `
Examples:
  canopy up --example ledger --nodes 3      a cluster to play with, in this terminal
  canopy run --config canopy.yaml           one node of a real one
  canopy status                             who is there and who is active
  canopy stepdown ledger --to n2            move an app, losing nothing
  canopy elect --group jobs -- ./worker     run a command only while leader
  canopy db replicate app.db --store /mnt/b ship a database's changes as they are committed
  canopy replication status -n orders       replicas of an application's state
In a checkout, write npx canopy.

Environment (flags are stronger): NATS_URL, PLATFORM, NODE_ID, CANOPY_NATS_SERVER, NO_COLOR.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 no such app or node, 4 NATS or cluster
unreachable, 5 timed out, 6 port, directory, node id or database in use, 7 disk, 69 Node.js too old, 70 bug,
75 leadership lost (elect --once), 126 and 127 the command of elect cannot be run, 130 interrupted.`;

const GLOBAL_HELP = `
Global options, before or after the verb: -o, --output table|json; --timeout 10s; -h, --help.`;

const APP_LIST_HELP = `
Example:
  canopy app list --output json

Exit code 1 when an app is not served or a node of it does not answer.`;

/** What a verb's help ends with, by its usage and, below another verb, that one's name. */
const HELP: Readonly<Record<string, string>> = {
  up: `
Examples:
  canopy up --example ledger --nodes 3
  canopy up --config canopy.yaml --nodes 2 --dir /tmp/play --nats-port 0

Everything is kept below --dir and found again next time. ctrl-C stops nodes and server in order; the data stays.
A node or server that ends by itself is started again, at most 5 times a minute.
The NATS server is taken from CANOPY_NATS_SERVER, PATH or the cache, or is provisioned into the cache.`,

  run: `
Examples:
  canopy run --config canopy.yaml
  canopy run --config canopy.yaml --node n2 --server nats://10.0.0.1:4222,nats://10.0.0.2:4222 --log-level debug

SIGTERM and SIGINT stop gracefully: the app is handed over, everything committed is shipped, the node leaves.
A second signal ends at once; that, a SIGKILL and a power cut are all safe.`,

  status: `
Examples:
  canopy status
  canopy status --server nats://10.0.0.1:4222 --platform prod --output json

Exit code 1 when something needs a look.`,

  app: `
Examples:
  canopy app list
  canopy app status ledger`,

  'app status <app>': `
Examples:
  canopy app status ledger
  canopy app status ledger --config canopy.yaml --output json

Exit code 1 when the app is not served or a node of it does not answer.`,

  db: `
Examples:
  canopy db status
  canopy db status ledger
  canopy db sync ledger --applied 1
  canopy db divergence list ledger
  canopy db replicate app.db --store nats://127.0.0.1:4222/app
  canopy db status --store nats://127.0.0.1:4222/app
  canopy db status --file app.db
  canopy db sync --file app.db
  canopy db snapshot create before-upgrade --store nats://127.0.0.1:4222/app
  canopy db verify --store nats://127.0.0.1:4222/app
  canopy db restore --store nats://127.0.0.1:4222/app --to /tmp/app.db`,

  'db status [app]': `
Examples:
  canopy db status
  canopy db status ledger --output json
  canopy db status --store nats://127.0.0.1:4222/orders
  canopy db status --file /var/lib/orders.db

Unknown is said to be unknown. Exit code 1 when something needs a look: no node is primary, a node does not answer, a
database has a problem, or commits were kept aside. With --store it is what the log says of itself: who wrote last, its
end, its levels, the newest snapshot, the last proven restore. Whether that writer runs now a log can't tell; exit code 1
when the log has lost something or its bucket is about to. With --file the canopy db replicate or follow of that file answers for
itself; exit code 4 when none runs.`,

  'stepdown <app>': `
Examples:
  canopy stepdown ledger
  canopy stepdown ledger --to n2 --timeout 30s

The active node stops its backend, ships what is committed and releases the lease; a standby takes over. Requests that
arrive meanwhile wait in the proxies.`,
};
