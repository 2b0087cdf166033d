/** The verbs of replicated state in the command tree: what each is called, takes and explains. */
import { parseDuration } from '@canopy/core';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { VerbContext } from './election-verbs.ts';

export function addReplicationVerbs(program: Command, { verb, printer, cluster, done }: VerbContext): void {
  const replication = verb(program, 'replication', 'look at replicated state, and mend it').addHelpText(
    'after',
    GROUP_HELP,
  );
  const asks = (usage: string, summary: string, help: string): Command =>
    verb(replication, usage, summary)
      .addOption(
        new Option('-n, --namespace <name>', 'namespace of the replicas, as in their configuration')
          .argParser(namespace)
          .makeOptionMandatory(),
      )
      .option('-s, --server <url>', 'NATS server, several separated by commas (or NATS_URL)')
      .option('-c, --config <file>', 'take server and credentials from this configuration')
      .option('--dir <directory>', 'directory of a running `canopy up`', '.canopy')
      .addOption(new Option('--expect <nodes>', 'nodes that have to answer, separated by commas').argParser(names))
      .addHelpText('after', help);
  const watches = (command: Command): Command =>
    command.addOption(
      new Option('-w, --watch [interval]', 'again and again until ctrl-C').argParser(durationMs).preset('2s'),
    );

  watches(asks('status', 'who takes part, who leads, what is wrong', STATUS_HELP)).action(async (options) =>
    done(
      await (await import('./replicas/status.ts')).replicationStatus({ ...cluster(options), ...options }, printer()),
    ),
  );
  watches(asks('lag', 'how far each replica is behind', LAG_HELP)).action(async (options) =>
    done(await (await import('./replicas/status.ts')).replicationLag({ ...cluster(options), ...options }, printer())),
  );
  asks('recover <node>', 'have a replica bring its state up to date, and show how far it is', RECOVER_HELP)
    .addOption(
      new Option(
        '--mode <mode>',
        'rebuild: throw the state away, make it anew; resync: read again what was missed (default: rebuild where the node can)',
      ).choices(['rebuild', 'resync']),
    )
    .option(
      '--discard',
      'with a rebuilding: throw away also what nobody else may have, such as writes that were not sent',
    )
    .action(async (node, options) =>
      done(
        await (await import('./replicas/recover.ts')).recoverNode(node, { ...cluster(options), ...options }, printer()),
      ),
    );
  asks('conflicts [entity]', 'what masters wrote without knowing of each other', CONFLICTS_HELP)
    .addOption(new Option('--limit <count>', 'show at most so many of each master').argParser(count).default(100))
    .action(async (entity, options) =>
      done(
        await (await import('./replicas/conflicts.ts')).listConflicts(
          entity,
          { ...cluster(options), ...options },
          printer(),
        ),
      ),
    );
  asks('resolve <entity>', 'decide a conflict, for all masters', RESOLVE_HELP)
    .option('--data <json>', 'the entity as it shall be')
    .option('--file <file>', 'the same, from a file')
    .option('--pick <master>', 'the version of this master')
    .option('--delete', 'delete the entity')
    .option('--node <master>', 'the master that writes it (default: the one that knows most of the versions)')
    .action(async (entity, options) =>
      done(
        await (await import('./replicas/conflicts.ts')).resolveConflict(
          entity,
          { ...cluster(options), ...options },
          printer(),
        ),
      ),
    );
  asks('hot', 'entities with the most conflicts, and whether it is a storm', HOT_HELP)
    .addOption(new Option('--top <count>', 'show so many entities').argParser(count).default(10))
    .action(async (options) =>
      done(await (await import('./replicas/conflicts.ts')).hotEntities({ ...cluster(options), ...options }, printer())),
    );
  asks('clock-report', 'how far the clocks of nodes are apart', CLOCK_HELP).action(async (options) =>
    done(
      await (await import('./replicas/clock-report.ts')).clockReport({ ...cluster(options), ...options }, printer()),
    ),
  );
  asks('add <node>', 'have the leader count a follower before it reports by itself', ADD_HELP).action(
    async (node, options) =>
      done(
        await (await import('./replicas/members.ts')).addMember(node, { ...cluster(options), ...options }, printer()),
      ),
  );
  asks('remove <node>', 'take a follower, or a master that is gone for good, out of its group', REMOVE_HELP)
    .option('--yes', 'it is gone, and must begin anew should it come back')
    .action(async (node, options) =>
      done(
        await (await import('./replicas/members.ts')).removeMember(
          node,
          { ...cluster(options), ...options },
          printer(),
        ),
      ),
    );
}

function namespace(value: string): string {
  if (/^[-\w]{1,128}$/.test(value)) return value;
  throw new InvalidArgumentError('a namespace is 1 to 128 letters, digits, "-" or "_"');
}

function names(value: string): string[] {
  return value
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

function durationMs(value: string): number {
  const ms = parseDuration(value);
  if (ms === undefined || ms < 100) throw new InvalidArgumentError('write a duration such as 2s, at least 100ms');
  return ms;
}

function count(value: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 1 && number <= 1000) return number;
  throw new InvalidArgumentError('write a whole number from 1 to 1000');
}

const GROUP_HELP = `
Examples:
  canopy replication status --namespace orders
  canopy replication lag -n orders --watch
  canopy replication recover node-2 -n orders
  canopy replication conflicts cart-7 -n carts
  canopy replication resolve cart-7 -n carts --pick eu
  canopy replication clock-report -n carts

Nodes answer whose program calls serveReplication(). Nothing is stored: who does not run does not answer.`;

const STATUS_HELP = `
Examples:
  canopy replication status --namespace orders
  canopy replication status -n orders --expect node-1,node-2,node-3 --output json
  canopy replication status -n orders --watch 5s

Leaders and followers, masters and subscribers of one namespace. Exit code 1 when something needs a look (!): nobody leads, two
lead (the greater epoch wins), a node that others know of does not answer, a stale follower, more than 100 events behind, more than
10 % conflicts, undecided conflicts, masters with different strategies. 4 when nobody answers.`;

const LAG_HELP = `
Examples:
  canopy replication lag --namespace orders
  canopy replication lag -n orders --watch --output json

BEHIND is in events, UP TO DATE when it was certain; RATE and TIME LEFT while it catches up. Unknown is "-", never 0. Answers are not of
one moment: a few events are none. With --watch and --output json one object a line. Exit code 1 when a replica is stale, more than 100
events behind, or silent.`;

const RECOVER_HELP = `
Examples:
  canopy replication recover node-2 --namespace orders
  canopy replication recover node-2 -n orders --mode resync --timeout 10m

The node does it; this shows percent, rate and time left. ctrl-C (exit code 130) and --timeout (exit code 5; by default it
waits for ever) end the showing, not the recovery: the same command joins it again. A rebuilding throws the state away and makes it anew from the newest
snapshot and the log: a follower shows the old state until the new one is whole, a master refuses writes meanwhile. A leader is never rebuilt,
and nothing goes that only this node has, unless --discard says so. Without --mode a node that has no event log reads again what it
missed. Exit code 1 when it failed or was refused, 4 when the node does not answer.`;

const CONFLICTS_HELP = `
Examples:
  canopy replication conflicts --namespace carts
  canopy replication conflicts cart-7 -n carts --output json

Those that wait for a decision first. With an entity: each version with who wrote it, when, its vector clock and its data.
Exit code 1 when a master does not answer, 3 when nobody knows of such a conflict, or nobody is a master.`;

const RESOLVE_HELP = `
Examples:
  canopy replication resolve cart-7 --namespace carts --pick eu
  canopy replication resolve cart-7 -n carts --data '{"items":["milk","bread"]}'
  canopy replication resolve cart-7 -n carts --file cart-7.json

It is a write of one master that replaces all versions which that one knows of, and takes the conflict off everybody's list. A
version that was still on its way is a new conflict. Exit code 3 when nobody knows of the conflict, or of that master's version.`;

const HOT_HELP = `
Example:
  canopy replication hot --namespace carts --top 20

Counts are since each master's start; each master counts the same conflicts, so they are not added. More than 10 % of a master's events
in conflict is a storm: exit code 1.`;

const CLOCK_HELP = `
Example:
  canopy replication clock-report --namespace carts

Offsets are estimated by the round trip to each node, and known to half of it (±): nothing is stated finer. REFUSED counts timestamps that
lay too far ahead. Exit code 1 when a clock is certainly more than 60 s off the others', or timestamps were refused.`;

const ADD_HELP = `
Example:
  canopy replication add node-4 --namespace orders

Followers with a progress channel are known without it, masters join by themselves.`;

const REMOVE_HELP = `
Example:
  canopy replication remove node-4 --namespace orders --yes`;
