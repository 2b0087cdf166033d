/**
 * The command tree: what each verb is called, takes and explains. Parsing only: each action calls one function of
 * `commands/` and its number becomes the exit code.
 */

import { parseDuration } from '@canopy/core';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { appList, appStatus } from './commands/app.ts';
import { databaseStatus } from './commands/db.ts';
import { runNode } from './commands/run.ts';
import { clusterStatus } from './commands/status.ts';
import { stepDown } from './commands/stepdown.ts';
import { upCluster } from './commands/up.ts';
import type { ClusterOptions } from './connect.ts';
import { addElectionVerbs } from './election-verbs.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { createPrinter, type OutputFormat, type Streams } from './output/printer.ts';
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
  try {
    await program.parseAsync([...invocation.args], { from: 'user' });
    return exit;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const format = wantsJson(invocation.args) ? 'json' : 'table';
    createPrinter(format, invocation.streams).error(error);
    return exitCodeOf(error);
  }
}

/** The tree itself; also what shell completion walks. */
export function buildProgram(invocation: Invocation, done: (exit: number) => void): Command {
  const { environment, streams } = invocation;
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
    .configureOutput({ writeOut: (text) => streams.out.write(text), writeErr: (text) => streams.err.write(text) })
    .exitOverride()
    .addHelpText('after', PROGRAM_HELP);
  const printer = () => createPrinter(program.opts<GlobalOptions>().output, streams);
  const cluster = (options: Record<string, unknown>): ClusterOptions => ({
    ...options,
    timeoutMs: program.opts<GlobalOptions>().timeout ?? 10_000,
    environment,
  });
  const verb = (parent: Command, usage: string, summary: string): Command =>
    parent.command(usage).description(summary).showHelpAfterError('(add --help for the options of this verb)');
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
      new Option('--nats-port <port>', 'port of the NATS server (default: 4222 or the next free one)').argParser(port),
    )
    .option('--no-download', 'fail when no nats-server is on this machine, instead of getting one')
    .addOption(new Option('--ttl <duration>', 'lease time of apps that do not say their own').argParser(durationText))
    .addHelpText('after', UP_HELP)
    .action(async (options) => done(await upCluster(options, printer())));

  verb(program, 'run', 'run one node in the foreground')
    .requiredOption('-c, --config <file>', 'configuration file, YAML or JSON')
    .option('--node <name>', 'node id (or NODE_ID; default: the host name)')
    .option('-p, --platform <name>', 'platform (or PLATFORM)')
    .option('-s, --server <url>', 'NATS server, several separated by commas (or NATS_URL)')
    .addOption(new Option('--log-level <level>', 'least level logged').choices(['debug', 'info', 'warn', 'error']))
    .option('--log-file <file>', 'write the log there instead of to stderr')
    .addOption(new Option('--parent-pipe <fd>', 'stop when this descriptor closes').argParser(count).hideHelp())
    .addHelpText('after', RUN_HELP)
    .action(async (options) => {
      const servers = options.server ?? environment.NATS_URL;
      const overrides = {
        node: options.node ?? environment.NODE_ID,
        platform: options.platform ?? environment.PLATFORM,
        servers: servers?.split(',').map((url: string) => url.trim()),
      };
      done(await runNode({ ...options, ...overrides }, printer()));
    });

  findsCluster(verb(program, 'status', 'who is there, who is active, what is wrong')).action(async (options) =>
    done(await clusterStatus(cluster(options), printer())),
  );

  const app = verb(program, 'app', 'look at apps');
  findsCluster(verb(app, 'list', 'all apps with their active node')).action(async (options) =>
    done(await appList(cluster(options), printer())),
  );
  findsCluster(verb(app, 'status <app>', 'one app: its nodes, its database, the last hand-overs and failovers')).action(
    async (name, options) => done(await appStatus(name, cluster(options), printer())),
  );

  const db = verb(program, 'db', 'look at databases');
  findsCluster(
    verb(db, 'status [app]', 'who is primary, how far behind the others are, when the last snapshot was'),
  ).action(async (name, options) => done(await databaseStatus(name, cluster(options), printer())));

  findsCluster(verb(program, 'stepdown <app>', 'hand an app over to another node, losing nothing'))
    .option('--to <node>', 'the node that shall take over (default: whichever is first)')
    .option('--no-wait', 'do not wait until another node serves')
    .addHelpText('after', STEPDOWN_HELP)
    .action(async (name, options) => done(await stepDown(name, cluster(options), printer())));

  addElectionVerbs(program, { verb, printer, cluster, done });
  return program;
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
  if (!Number.isSafeInteger(number) || number < 1 || number > 65535)
    throw new InvalidArgumentError('write a port from 1 to 65535');
  return number;
}

const PROGRAM_HELP = `
Examples:
  canopy up --example ledger --nodes 3      a cluster to play with, in this terminal
  canopy run --config canopy.yaml           one node of a real one
  canopy status                             who is there and who is active
  canopy stepdown ledger --to n2            move an app, losing nothing
  canopy elect --group jobs -- ./worker     run a command only while leader

Environment (flags are stronger): NATS_URL, PLATFORM, NODE_ID, CANOPY_NATS_SERVER, NO_COLOR.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 no such app or node, 4 NATS or cluster
unreachable, 5 timed out, 6 port, directory, node id or database in use, 7 disk, 70 bug, 130 interrupted.`;

const UP_HELP = `
Everything is kept below --dir and found again next time. ctrl-C stops nodes and server in order; the data stays.
The NATS server is taken from CANOPY_NATS_SERVER, PATH or the cache, or is provisioned into the cache.`;

const RUN_HELP = `
SIGTERM and SIGINT stop gracefully: the app is handed over, everything committed is shipped, the node leaves.
A second signal ends at once; that, a SIGKILL and a power cut are all safe.`;

const STEPDOWN_HELP = `
The active node stops its backend, ships what is committed and releases the lease; a standby takes over. Requests that
arrive meanwhile wait in the proxies.`;
