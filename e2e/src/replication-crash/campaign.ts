/**
 * A leader with two followers and three masters, each a process with its own SQLite store, over one nats-server or a cluster of three; blows by a
 * plan while all of them are written to, snapshots are taken and the logs are trimmed. After each round all replicas must come to
 * one state; at the end the logs are checked against what was acknowledged.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionSpec, systemEnv } from '@canopy/core';
import { stateHash } from '@canopy/replication';
import { eventually, TcpProxy, testNatsCluster, testNatsServer } from '@canopy/testkit';
import { type FollowingState, leaderOf, type Servers, type Stage, strike, WHOLE_MS } from './blows.ts';
import { Member, type PlantedFault } from './group.ts';
import { checkFollowing } from './history.ts';
import { checkCounts, checkMasters } from './masters-history.ts';
import { FOLLOWING, MASTERS, type PlannedRound, planRounds, withoutCuts } from './plan.ts';
import { Witness } from './witness.ts';
import { COUNTER, Writers } from './writers.ts';

/** Writes that each group must serve after a blow. */
const SERVED_AGAIN = 10;

export interface ReplicationCampaignOptions {
  readonly rounds: number;
  readonly seed: string;
  readonly keep: boolean;
  /** One NATS server, or a cluster of three of which one at a time is killed. Default 1. */
  readonly servers?: 1 | 3;
  /** No further round is begun after this long. */
  readonly withinMs?: number | undefined;
  /** Instead of what the seed says. */
  readonly plan?: readonly PlannedRound[];
  readonly planted?: PlantedFault;
}

export interface ReplicationCampaignResult {
  readonly suite: 'replication';
  readonly rounds: number;
  readonly asked: number;
  readonly acknowledged: number;
  /** Writes acknowledged as `local` that went with a leader or a disk, as they may. */
  readonly lostLocally: number;
  readonly sessionReads: number;
  /** Successions of leaders. */
  readonly terms: number;
  /** Events that were trimmed away. */
  readonly trimmed: number;
  readonly problems: readonly string[];
  readonly holds: boolean;
}

interface MasterState {
  readonly unsent: number;
  readonly waiting: number;
  readonly vectorClock: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  readonly hash: string;
}

/** Rejects when a group did not come to one state; the directory is kept then. Nothing that was started runs afterwards. */
export async function runReplicationCampaign(
  options: ReplicationCampaignOptions,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<ReplicationCampaignResult> {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-crash-'));
  let holds = false;
  try {
    const result = await onStage(directory, options, say, signal);
    holds = result.holds || options.planted !== undefined;
    return result;
  } finally {
    if ((!holds && !signal.aborted) || options.keep) say(`stores and logs are in ${directory}`);
    else rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function onStage(
  directory: string,
  options: ReplicationCampaignOptions,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<ReplicationCampaignResult> {
  await using cleanup = new AsyncDisposableStack();
  const env = systemEnv();
  const { seed, servers: count = 1, withinMs = Number.POSITIVE_INFINITY, planted } = options;
  const plan = options.plan ?? planRounds(seed, options.rounds);
  const { servers, connection } = await serversOf(count, directory, cleanup);
  const witness = cleanup.use(await Witness.start(connection, [FOLLOWING, MASTERS], env));
  const make = (program: string) => async (id: string) => {
    const [only] = connection.servers as readonly [string, ...string[]];
    const link = count === 1 ? cleanup.use(await TcpProxy.start(only)) : undefined;
    const place = { servers: connection.servers, link, directory, witness: witness.url, planted };
    return cleanup.use(new Member(id, program, place));
  };
  const following = await Promise.all(['f1', 'f2', 'f3'].map(make('./follower-program.ts')));
  const masters = await Promise.all(['m1', 'm2', 'm3'].map(make('./master-program.ts')));
  await Promise.all([...following, ...masters].map((member) => member.start()));
  const writers = cleanup.use(new Writers(seed, following, masters, env));
  const stage: Stage = { servers, following, masters, writers, witness, problems: [], env, signal };
  const begun = env.clock.monotonic();
  let rounds = 0;
  for (const planned of plan) {
    if (env.clock.monotonic() - begun > withinMs) break;
    rounds += 1;
    say(`round ${rounds}/${plan.length}  ${await round(count === 1 ? planned : withoutCuts(planned), stage)}`);
  }
  await settled(stage);
  return { suite: 'replication', rounds, asked: plan.length, ...(await judge(stage)) };
}

async function serversOf(
  count: 1 | 3,
  directory: string,
  cleanup: AsyncDisposableStack,
): Promise<{ servers: Servers; connection: ConnectionSpec }> {
  const dataDir = join(directory, 'nats');
  if (count === 1) {
    const { server, connection } = cleanup.use(await testNatsServer({ dataDir }));
    const kill = async () => {
      await server.kill();
      return () => server.restart();
    };
    return { servers: { kill }, connection };
  }
  const { nodes, connection } = cleanup.use(await testNatsCluster({ dataDir }));
  const kill = async (pick: number) => {
    const node = nodes[pick % nodes.length] as (typeof nodes)[number];
    await node.kill();
    return () => node.restart();
  };
  return { servers: { kill }, connection };
}

async function round({ following, masters }: PlannedRound, stage: Stage): Promise<string> {
  const { env, writers } = stage;
  await served(stage);
  const told = await Promise.all([strike(following, stage), strike(masters, stage)]);
  const healedAt = env.clock.monotonic();
  await served(stage);
  const servedMs = Math.round(env.clock.monotonic() - healedAt);
  const { leader, end } = await settled(stage);
  writers.resume();
  return `${told.join(', ')}: served after ${servedMs} ms, ${leader} leads, equal at ${end}`;
}

async function served({ writers, masters, signal }: Stage): Promise<void> {
  const before = writers.acknowledged();
  const groups = ['following', ...masters.map(({ id }) => id)];
  const isServed = (group: string): boolean =>
    (writers.acknowledged()[group] ?? 0) >= (before[group] ?? 0) + SERVED_AGAIN;
  await eventually(() => groups.every(isServed), { timeoutMs: WHOLE_MS, what: 'writes that are served', signal });
}

/** Pauses the writers and waits until all replicas of a group show the same, up to the end of its log. */
async function settled(stage: Stage): Promise<{ readonly leader: string; readonly end: string }> {
  const { writers, following, masters, signal } = stage;
  await writers.pause();
  const leader = await leaderOf(stage);
  const end = await eventually(
    async () => {
      const replicas = await Promise.all(following.map((member) => member.ask<FollowingState>('state')));
      const states = await Promise.all(masters.map((member) => member.ask<MasterState>('state')));
      const failures = states.flatMap((state) => state.failures);
      if (failures.length > 0) throw new Error(failures.join('; '));
      const clocks = states.map(({ vectorClock }) => JSON.stringify(Object.entries(vectorClock).sort()));
      const isSame = (values: readonly unknown[]): boolean => new Set(values).size === 1;
      const same =
        isSame(replicas.map(({ hash, applied }) => `${hash} ${applied}`)) &&
        isSame(states.map(({ hash }) => hash)) &&
        isSame(clocks) &&
        states.every(({ unsent, waiting }) => unsent === 0 && waiting === 0);
      if (!same) throw new Error(JSON.stringify({ replicas, states }));
      return `${replicas[0]?.applied} ${replicas[0]?.hash.slice(0, 8)}, ${states[0]?.hash.slice(0, 8)}`;
    },
    { timeoutMs: WHOLE_MS, everyMs: 50, what: 'equal replicas', signal },
  );
  return { leader: leader.id, end };
}

async function judge({ witness, following, masters, writers, problems: found }: Stage) {
  const orders = checkFollowing(await witness.events(FOLLOWING), writers.following, writers.shown);
  const problems = [...found, ...witness.problems, ...orders.problems];
  const expected = stateHash(orders.state);
  for (const member of following) {
    const { hash } = await member.ask<FollowingState>('state');
    if (hash !== expected) problems.push(`${member.id} is not what its log says`);
  }
  const keys = [...new Set(writers.masters.map(({ key }) => key))];
  const disks = Object.fromEntries(masters.map(({ id, disk }) => [id, disk]));
  const [first] = masters as readonly [Member, ...Member[]];
  const { values } = await first.ask<{ values: unknown[] }>('read', { keys });
  const shown = new Map(keys.map((key, i) => [key, values[i] ?? undefined]));
  const merged = checkMasters(await witness.events(MASTERS), writers.masters, shown, disks);
  const { values: counted } = await first.ask<{ values: number[] }>('counts', { keys: [COUNTER] });
  problems.push(...merged.problems, ...checkCounts(writers.counts, counted[0] ?? 0, disks));
  const logs = await Promise.all([FOLLOWING, MASTERS].map((namespace) => witness.log(namespace).info()));
  return {
    acknowledged: writers.following.length + writers.masters.length + writers.counts.acknowledged.length,
    lostLocally: orders.lost + merged.lost,
    sessionReads: writers.shown.length,
    terms: orders.terms,
    trimmed: logs.reduce((sum, { firstSequence }) => sum + firstSequence - 1, 0),
    problems,
    holds: problems.length === 0,
  };
}
