/** The verbs of elections in the command tree: what each is called, takes and explains. */

import { parseDuration } from '@canopy/core';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ClusterOptions } from './connect.ts';
import type { Printer } from './output/printer.ts';

export interface VerbContext {
  /** Adds a verb below `parent`. */
  readonly verb: (parent: Command, usage: string, summary: string) => Command;
  readonly printer: () => Printer;
  readonly cluster: (options: Record<string, unknown>) => ClusterOptions;
  readonly done: (exit: number) => void;
}

export function addElectionVerbs(program: Command, context: VerbContext): void {
  const { verb, printer, cluster, done } = context;
  const findsBucket = (command: Command): Command =>
    command
      .option('-s, --server <url>', 'NATS server, several separated by commas (or NATS_URL)')
      .option('-c, --config <file>', 'take server and credentials from this configuration')
      .option('--dir <directory>', 'directory of a running `canopy up`', '.canopy')
      .option('-b, --bucket <bucket>', 'KV bucket of the leases', 'elections');

  findsBucket(verb(program, 'elect', 'run a command only while leader of a group'))
    .argument('<command...>', 'the command and its arguments, after --')
    .requiredOption('-g, --group <group>', 'what is elected: the key in the bucket')
    .option('--id <id>', 'name of this candidate, unique in the group (default: host name and process id)')
    .addOption(
      new Option('--ttl <duration>', 'length of the lease; the same for the whole group (default 10s)').argParser(
        durationText,
      ),
    )
    .addOption(
      new Option('--kill-after <duration>', 'from SIGTERM to SIGKILL').argParser(durationMs).default(5000, '5s'),
    )
    .addOption(new Option('--wait <duration>', 'give up when not leader by then').argParser(durationMs))
    .option('--once', 'end when leadership is lost, instead of standing again')
    .option('--log-file <file>', 'write a log there')
    .addHelpText('after', ELECT_HELP)
    .action(async (argv, { killAfter, wait, ...options }) =>
      done(
        await (await import('./elect/elect.ts')).elect(
          argv,
          { ...cluster(options), ...options, killAfterMs: killAfter, waitMs: wait },
          printer(),
        ),
      ),
    );

  const election = verb(program, 'election', 'look at elections, and move leadership');
  findsBucket(verb(election, 'status', 'who leads which group, and how much of the lease is left'))
    .option('-g, --group <group>', 'only this one')
    .addHelpText('after', STATUS_HELP)
    .action(async (options) =>
      done(
        await (await import('./commands/election.ts')).electionStatus({ ...cluster(options), ...options }, printer()),
      ),
    );
  findsBucket(verb(election, 'watch', 'changes of leadership as they happen'))
    .option('-g, --group <group>', 'only this one')
    .addHelpText('after', WATCH_HELP)
    .action(async (options) =>
      done(
        await (await import('./commands/election.ts')).electionWatch({ ...cluster(options), ...options }, printer()),
      ),
    );
  findsBucket(verb(election, 'stepdown', 'have the leader give its lease up'))
    .requiredOption('-g, --group <group>', 'the group')
    .option('--to <id>', 'the candidate that shall take over (default: whichever is first)')
    .option('--no-wait', 'do not wait until somebody leads again')
    .addHelpText('after', STEPDOWN_HELP)
    .action(async (options) =>
      done(
        await (await import('./commands/election.ts')).electionStepDown({ ...cluster(options), ...options }, printer()),
      ),
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

const ELECT_HELP = `
Examples:
  canopy elect --group reports -- ./make-reports --forever
  canopy elect --group reports --ttl 3s --once -- sh -c 'exec work --epoch "$CANOPY_EPOCH"'

The command gets CANOPY_GROUP, CANOPY_EPOCH (grows from leader to leader: have what it writes to refuse a lower one) and
CANOPY_INSTANCE, our input and outputs, and a process group of its own. When leadership goes it gets SIGTERM and, after
--kill-after or at the end of the lease, whichever is first, SIGKILL; only then can another lead. After that this stands
again and runs the command anew (--once: exits 75). When the command ends by itself the lease is released at once.
SIGINT, SIGTERM and SIGHUP go to the command, a second one kills it. kill -9 of this ends the command and releases the lease.

Exit codes: the command's own; 128+n when signal n ended it, or this while it waited; 75 leadership lost (--once);
126 the command cannot be run, 127 there is none; before it ran: 2 wrong usage, 4 NATS unreachable, 5 not leader within
--wait; 1 the election itself failed.`;

const STATUS_HELP = `
Times are by the server's wall clock and this machine's. Exit code 1 when a lease shown has run out or been given up.`;

const WATCH_HELP = `
First who leads now, then every change, until ctrl-C; with --output json one object a line. Renewals are no changes. A
lease counts as run out when nobody has renewed it for its length.`;

const STEPDOWN_HELP = `
Asks the leader itself, which ends its work first; works with canopy elect and with programs that run an
ElectionResponder. Without --to whoever is first takes over; alone, the same leads again after a rest.`;
