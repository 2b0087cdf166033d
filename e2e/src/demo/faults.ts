/**
 * The five things that the demo does to the active node, each with what puts the node back on its feet afterwards.
 * `strike` returns when the blow has fallen; `heal` when the node is on its way back.
 */
import type { LocalNode } from '@canopy/cli';
import type { Clock } from '@canopy/core';
import { identifyProcess, type ProcessId } from '@canopy/core';
import type { ControlClient } from '@canopy/platform';
import { freezeTree, killTree, signalProcess } from '@canopy/testkit';
import type { Wake } from '../check/index.ts';

export type FaultName = 'handover' | 'nodeKill' | 'treeKill' | 'nodeFreeze' | 'treeFreeze';

export interface Fault {
  readonly name: FaultName;
  readonly title: string;
  /** The lease has to run out first, so the gap can't be shorter than the lease time. */
  readonly waitsForLease: boolean;
  strike(node: LocalNode): Promise<void>;
  heal(node: LocalNode): Promise<Wake | undefined>;
}

const APP = 'ledger';

export function faults(client: ControlClient, clock: Clock): readonly Fault[] {
  return [
    {
      name: 'handover',
      title: 'hand-over on purpose',
      waitsForLease: false,
      strike: async () => void (await client.stepdown(APP)),
      heal: async () => undefined,
    },
    {
      name: 'nodeKill',
      title: "SIGKILL of the active node's own process",
      waitsForLease: false,
      strike: async (node) => void signalProcess(identityOf(node), 'SIGKILL'),
      heal: restart,
    },
    {
      name: 'treeKill',
      title: 'SIGKILL of its whole process tree, warden and backend included',
      waitsForLease: true,
      strike: async (node) => void (await killTree(pidOf(node))),
      heal: restart,
    },
    freeze('nodeFreeze', "SIGSTOP of the node's own process past its lease", clock, (pid) =>
      [identifyProcess(pid)].filter((id) => id !== undefined),
    ),
    freeze('treeFreeze', 'SIGSTOP of the whole tree past its lease', clock, (pid) => freezeTree(pid)),
  ];
}

function freeze(name: FaultName, title: string, clock: Clock, victims: (pid: number) => readonly ProcessId[]): Fault {
  let frozen: readonly ProcessId[] = [];
  let frozenAt = 0;
  return {
    name,
    title,
    waitsForLease: true,
    strike: async (node) => {
      frozenAt = clock.monotonic();
      frozen = victims(pidOf(node));
      for (const id of frozen) signalProcess(id, 'SIGSTOP');
    },
    heal: async (node) => {
      const wokenAt = clock.monotonic();
      // The backend first: whatever it had begun gets its chance to do harm before its guards are awake.
      for (const id of [...frozen].reverse()) signalProcess(id, 'SIGCONT');
      return { node: node.name, frozenAt, wokenAt };
    },
  };
}

async function restart(node: LocalNode): Promise<undefined> {
  node.process.spawn();
  await node.process.ready();
}

function pidOf(node: LocalNode): number {
  const { pid } = node.process;
  if (pid === undefined) throw new Error(`node ${node.name} does not run`);
  return pid;
}

function identityOf(node: LocalNode): ProcessId {
  const id = identifyProcess(pidOf(node));
  if (id === undefined) throw new Error(`node ${node.name} does not run`);
  return id;
}
