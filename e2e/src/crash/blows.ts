/**
 * The faults of a campaign on real processes. `strike` returns when the blow has fallen, and says what brings the victim
 * back; calling that is the caller's, at the time the plan says.
 */
import type { LocalNode } from '@canopy/cli';
import { type Clock, identifyProcess, type ProcessId } from '@canopy/core';
import { freezeTree, killTree, signalProcess } from '@canopy/testkit';
import type { Wake } from '../check/index.ts';
import type { Stage } from '../demo/stage.ts';
import { nodeProcesses, type ProcessKind } from './node-processes.ts';
import type { CrashKind, PlannedRound } from './plan.ts';

export interface Blow {
  /** What was hit, for people: `the warden of n2 (active)`. */
  readonly target: string;
  readonly struckAt: number;
  heal(): Promise<Wake | undefined>;
}

type Heal = Blow['heal'];

const PARTS: Partial<Readonly<Record<CrashKind, ProcessKind>>> = {
  databaseKill: 'database',
  wardenKill: 'warden',
  backendKill: 'backend',
};

/** Throws when the victim has no such process. */
export async function strike(round: PlannedRound, victim: LocalNode, stage: Stage, clock: Clock): Promise<Blow> {
  const struckAt = clock.monotonic();
  const { target, heal } = await hit(round.kind, victim, stage, clock);
  return {
    target: round.kind === 'natsKill' ? target : `${target} of ${victim.name} (${round.victim})`,
    struckAt,
    heal,
  };
}

async function hit(
  kind: CrashKind,
  victim: LocalNode,
  stage: Stage,
  clock: Clock,
): Promise<{ target: string; heal: Heal }> {
  switch (kind) {
    case 'natsKill': {
      const { nats } = stage.cluster;
      await nats.kill();
      return { target: 'nats-server', heal: async () => void (await nats.restart()) };
    }
    case 'nodeKill':
      signalProcess(identityOf(victim), 'SIGKILL');
      return { target: 'own process', heal: () => restart(victim) };
    case 'treeKill':
      await killTree(identityOf(victim).pid);
      return { target: 'whole tree', heal: () => restart(victim) };
    case 'nodeFreeze':
      return freeze('own process', victim, [identityOf(victim)], clock);
    case 'treeFreeze':
      return freeze('whole tree', victim, freezeTree(identityOf(victim).pid), clock);
    default: {
      const part = PARTS[kind] as ProcessKind;
      for (const id of partsOf(victim, part)) signalProcess(id, 'SIGKILL');
      return { target: part, heal: async () => undefined };
    }
  }
}

function freeze(
  target: string,
  { name }: LocalNode,
  ids: readonly ProcessId[],
  clock: Clock,
): { target: string; heal: Heal } {
  const frozenAt = clock.monotonic();
  for (const id of ids) signalProcess(id, 'SIGSTOP');
  return {
    target,
    heal: async () => {
      const wokenAt = clock.monotonic();
      // Children first: whatever the backend had begun gets its chance to do harm before its guards are awake.
      for (const id of [...ids].reverse()) signalProcess(id, 'SIGCONT');
      return { node: name, frozenAt, wokenAt };
    },
  };
}

/** The node's own process is this program's child: it is gone for the cluster, too, when its exit has been heard of. */
async function restart({ process: node }: LocalNode): Promise<undefined> {
  node.spawn();
  await node.ready();
}

function identityOf({ name, process: { pid } }: LocalNode): ProcessId {
  const id = pid === undefined ? undefined : identifyProcess(pid);
  if (id === undefined) throw new Error(`node ${name} does not run`);
  return id;
}

function partsOf(node: LocalNode, kind: ProcessKind): readonly ProcessId[] {
  const found = nodeProcesses(identityOf(node).pid).filter((one) => one.kind === kind);
  if (found.length === 0) throw new Error(`node ${node.name} has no ${kind} process`);
  return found.map(({ id }) => id);
}
