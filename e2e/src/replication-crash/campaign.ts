/**
 * A leader with two followers and three masters, each a process with its own SQLite store, over one nats-server; blows by a plan while
 * all of them are written to. After each blow all replicas must come to one state; at the end the logs are checked against
 * what was acknowledged.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Env, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { type LogEvent, openEventLog, stateHash } from '@canopy/replication';
import { eventually, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { Member } from './group.ts';
import { checkCounts, checkFollowing, checkMasters } from './history.ts';
import { FOLLOWING, MASTERS, type PlannedBlow, planBlows } from './plan.ts';
import { COUNTER, Writers } from './writers.ts';

const WHOLE_MS = 90_000;
/** Writes that each group must serve after a blow. */
const SERVED_AGAIN = 10;

export interface ReplicationCampaignOptions {
  readonly rounds: number;
  readonly seed: string;
  readonly keep: boolean;
}

export interface ReplicationCampaignResult {
  readonly suite: 'replication';
  readonly rounds: number;
  readonly acknowledged: number;
  /** Successions of leaders. */
  readonly terms: number;
  readonly problems: readonly string[];
  readonly holds: boolean;
}

interface FollowingState {
  readonly role: string;
  readonly applied: number;
  readonly epoch: number;
  readonly hash: string;
}

interface MasterState {
  readonly unsent: number;
  readonly waiting: number;
  readonly vectorClock: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  readonly hash: string;
}

interface Stage {
  readonly nats: TestNatsServer;
  readonly following: readonly Member[];
  readonly masters: readonly Member[];
  readonly writers: Writers;
  readonly env: Env;
  readonly signal: AbortSignal;
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
    holds = result.holds;
    return result;
  } finally {
    if ((!holds && !signal.aborted) || options.keep) say(`stores and logs are in ${directory}`);
    else rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function onStage(
  directory: string,
  { seed, rounds }: ReplicationCampaignOptions,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<ReplicationCampaignResult> {
  await using cleanup = new AsyncDisposableStack();
  const env = systemEnv();
  const nats = cleanup.use(await testNatsServer({ dataDir: join(directory, 'nats') }));
  const make = (program: string) => (id: string) => cleanup.use(new Member(id, program, nats.url, directory));
  const following = ['f1', 'f2', 'f3'].map(make('./follower-program.ts'));
  const masters = ['m1', 'm2', 'm3'].map(make('./master-program.ts'));
  await Promise.all([...following, ...masters].map((member) => member.start()));
  const writers = cleanup.use(new Writers(seed, following, masters, env));
  const stage: Stage = { nats, following, masters, writers, env, signal };
  for (const [index, blow] of planBlows(seed, rounds).entries()) {
    const label = `round ${index + 1}/${rounds}`;
    await served(stage);
    await env.clock.sleep(blow.delayMs, { signal });
    const told = await strike(blow, stage);
    const healedAt = env.clock.monotonic();
    await served(stage);
    const servedMs = Math.round(env.clock.monotonic() - healedAt);
    const { leader, end } = await settled(stage);
    writers.resume();
    say(`${label}  ${told}: served after ${servedMs} ms, ${leader} leads, equal at ${end}`);
  }
  await settled(stage);
  return { suite: 'replication', rounds, ...(await judge(stage)) };
}

/** Resolves when the victims are back, with what was done. */
async function strike({ kind, victim, pick, lastsMs }: PlannedBlow, stage: Stage): Promise<string> {
  const { clock } = stage.env;
  const told = `${kind === 'kill' ? 'killed' : 'stopped'} ${victim}`;
  const wait = (): Promise<void> => clock.sleep(lastsMs, { signal: stage.signal });
  if (victim === 'nats-server') {
    await stage.nats.server.kill();
    await wait();
    await stage.nats.server.restart();
    return `${told} for ${lastsMs} ms`;
  }
  const members = await victimsOf(victim, pick, stage);
  if (kind === 'kill') await Promise.all(members.map((member) => member.kill()));
  else for (const member of members) member.signal('SIGSTOP');
  await wait();
  if (kind === 'kill') await Promise.all(members.map((member) => member.start()));
  else for (const member of members) member.signal('SIGCONT');
  return `${told} (${members.map(({ id }) => id).join(', ')}) for ${lastsMs} ms`;
}

async function victimsOf(victim: PlannedBlow['victim'], pick: number, stage: Stage): Promise<readonly Member[]> {
  const { following, masters } = stage;
  if (victim === 'all-masters') return masters;
  if (victim === 'all-following') return following;
  if (victim === 'master') return [masters[pick] as Member];
  if (victim === 'two-masters') return masters.filter((_, i) => i !== pick);
  const leader = await leaderOf(stage);
  if (victim === 'leader') return [leader];
  const followers = following.filter((member) => member !== leader);
  return victim === 'followers' ? followers : [followers[pick % followers.length] as Member];
}

const leaderOf = ({ following, signal }: Stage): Promise<Member> =>
  eventually(
    async () => {
      const states = await Promise.all(following.map((member) => member.ask<FollowingState>('state', {}, 5000)));
      return following.find((_, i) => states[i]?.role === 'leader');
    },
    { timeoutMs: WHOLE_MS, what: 'a leader', signal },
  );

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

async function judge({ nats, following, masters, writers, env }: Stage) {
  await using session = await connectNats(nats.connection, { name: 'judge', env });
  const orders = checkFollowing(await eventsOf(session, FOLLOWING), writers.following);
  const problems = [...orders.problems];
  const expected = stateHash(orders.state);
  for (const member of following) {
    const { hash } = await member.ask<FollowingState>('state');
    if (hash !== expected) problems.push(`${member.id} is not what its log says`);
  }
  const keys = [...new Set(writers.masters.map(({ key }) => key))];
  const [first] = masters as [Member];
  const { values } = await first.ask<{ values: unknown[] }>('read', { keys });
  const shown = new Map(keys.map((key, i) => [key, values[i]]));
  problems.push(...checkMasters(await eventsOf(session, MASTERS), writers.masters, shown));
  const { values: counted } = await first.ask<{ values: number[] }>('counts', { keys: [COUNTER] });
  problems.push(...checkCounts(writers.counts.acknowledged, writers.counts.asked, counted[0] ?? 0));
  const acknowledged = writers.following.length + writers.masters.length + writers.counts.acknowledged;
  return { acknowledged, terms: orders.terms, problems, holds: problems.length === 0 };
}

async function eventsOf(session: Parameters<typeof openEventLog>[0], namespace: string): Promise<LogEvent[]> {
  const log = await openEventLog(session, { namespace, create: false });
  const events: LogEvent[] = [];
  for await (const told of log.read({ signal: AbortSignal.timeout(WHOLE_MS) })) {
    if (told.type === 'event') events.push(told);
    if (told.type === 'caught-up') return events;
  }
  return events;
}
