/** The blows of a round, each struck at the members of one group; it is over when whoever was hit is back. */
import type { Env } from '@canopy/core';
import { eventually } from '@canopy/testkit';
import type { Member } from './group.ts';
import { FOLLOWING, MASTERS, type PlannedBlow, type Victim } from './plan.ts';
import type { Witness } from './witness.ts';
import type { Writers } from './writers.ts';

/** Bound on everything that is waited for. */
export const WHOLE_MS = 90_000;
const ANSWERED_MS = 5000;

export interface FollowingState {
  readonly role: string;
  readonly applied: number;
  readonly epoch: number;
  readonly hash: string;
}

export interface Servers {
  /** Kills one of them, or the only one; resolves with what brings it back. */
  kill(pick: number): Promise<() => Promise<void>>;
}

export interface Stage {
  readonly servers: Servers;
  readonly following: readonly Member[];
  readonly masters: readonly Member[];
  readonly writers: Writers;
  readonly witness: Witness;
  /** What was found wrong on the way. */
  readonly problems: string[];
  readonly env: Env;
  readonly signal: AbortSignal;
}

/** Resolves when the victims are back, with what was done. */
export async function strike(blow: PlannedBlow, stage: Stage): Promise<string> {
  const { kind, victim, pick, delayMs, lastsMs } = blow;
  const { clock } = stage.env;
  const wait = (ms: number): Promise<void> => clock.sleep(ms, { signal: stage.signal });
  await wait(delayMs);
  if (victim === 'nats-server') {
    const restart = await stage.servers.kill(pick);
    await wait(lastsMs);
    await restart();
    return `${kind} nats-server ${lastsMs} ms`;
  }
  const members = await victimsOf(victim, pick, stage);
  const all = (act: (member: Member) => unknown): Promise<unknown> => Promise.all(members.map(act));
  if (kind === 'stop') {
    await all((member) => member.signal('SIGSTOP'));
    await wait(lastsMs);
    await all((member) => member.signal('SIGCONT'));
  } else if (kind === 'cut') {
    await all((member) => member.link?.drop());
    await wait(lastsMs);
    await all((member) => member.link?.heal());
  } else {
    if (kind === 'kill') await all((member) => member.kill());
    else if (kind === 'wipe') await all((member) => member.wipe());
    else if (kind === 'lose') await lose(members, () => wait(lastsMs));
    else if (kind === 'away') await away(members, stage);
    else await answered(members[0] as Member, blow, stage);
    if (kind === 'kill' || kind === 'wipe') await wait(lastsMs);
    await all((member) => member.start());
  }
  const lasts = kind === 'away' || kind === 'answered' ? '' : ` ${lastsMs} ms`;
  return `${kind} ${victim} (${members.map(({ id }) => id).join(', ')})${lasts}`;
}

/** What they acknowledge while nothing of it leaves them goes with their disks. */
async function lose(members: readonly Member[], wait: () => Promise<void>): Promise<void> {
  for (const { link } of members) link?.drop();
  await wait();
  await Promise.all(members.map((member) => member.wipe()));
  for (const { link } of members) {
    link?.cut();
    await link?.heal();
  }
}

/** Until nothing that they could still read connects to what they have. */
async function away(members: readonly Member[], { witness, following, signal }: Stage): Promise<void> {
  const log = witness.log(following.includes(members[0] as Member) ? FOLLOWING : MASTERS);
  const patient = { timeoutMs: WHOLE_MS };
  await Promise.all(members.map((member) => member.kill()));
  const { lastSequence } = await log.info(patient);
  await eventually(async () => (await log.info(patient)).firstSequence > lastSequence + 1, {
    ...patient,
    everyMs: 50,
    what: `a log that is trimmed beyond ${lastSequence}`,
    signal,
  });
}

/** The followers that a leader counted have the write when it is dead and all that it had is gone. */
async function answered(leader: Member, { pick, lastsMs }: PlannedBlow, stage: Stage): Promise<void> {
  const { writers, following, problems, env, signal } = stage;
  const count = pick === 0 ? 1 : 2;
  const request = { key: 'answered', ack: `followers:${count}`, timeoutMs: ANSWERED_MS } as const;
  for (let tries = 1; ; tries++) {
    const value = `answered-${env.random.uuid()}`;
    const { success, sequence = 0 } = await writers.write(leader, { ...request, value });
    if (!success && tries < 10) continue;
    await leader.wipe();
    if (!success) break;
    const others = following.filter((member) => member !== leader);
    const states = await Promise.all(others.map((member) => member.ask<FollowingState>('state')));
    const have = states.filter(({ applied }) => applied >= sequence).length;
    if (have < count) problems.push(`${leader.id} acknowledged ${value} for ${count} followers: ${have} have it`);
    break;
  }
  await env.clock.sleep(lastsMs, { signal });
}

async function victimsOf(
  victim: Exclude<Victim, 'nats-server'>,
  pick: number,
  stage: Stage,
): Promise<readonly Member[]> {
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

export const leaderOf = ({ following, signal }: Stage): Promise<Member> =>
  eventually(
    async () => {
      const states = await Promise.all(following.map((member) => member.ask<FollowingState>('state', {}, 5000)));
      return following.find((_, i) => states[i]?.role === 'leader');
    },
    { timeoutMs: WHOLE_MS, what: 'a leader', signal },
  );
