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
import type { InstanceView } from './cluster-view.ts';

export type FaultName = 'handover' | 'nodeKill' | 'treeKill' | 'nodeFreeze' | 'treeFreeze';

export interface Fault {
  readonly name: FaultName;
  readonly title: string;
  /** The lease has to run out first, so the gap can't be shorter than the lease time. */
  readonly waitsForLease: boolean;
  strike(target: InstanceView): Promise<void>;
  heal(node: LocalNode): Promise<Wake | undefined>;
  /** Wakes what it has stopped, whatever happened meanwhile. Idempotent. */
  calm(): void;
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
      calm: () => {},
    },
    {
      name: 'nodeKill',
      title: "SIGKILL of the active node's own process",
      waitsForLease: false,
      strike: async ({ node }) => void signalProcess(identityOf(node), 'SIGKILL'),
      heal: restart,
      calm: () => {},
    },
    {
      name: 'treeKill',
      title: 'SIGKILL of its whole process tree, warden and backend included',
      waitsForLease: true,
      strike: async ({ node }) => void (await killTree(pidOf(node))),
      heal: restart,
      calm: () => {},
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
  let backend: { readonly pid: number; readonly address: string } | undefined;
  const calm = (): void => {
    for (const id of [...frozen].reverse()) signalProcess(id, 'SIGCONT');
    frozen = [];
  };
  return {
    name,
    title,
    waitsForLease: true,
    strike: async ({ node, app }) => {
      frozenAt = clock.monotonic();
      frozen = victims(pidOf(node));
      const { pid, address } = app.backend ?? {};
      const isFrozen = frozen.some((id) => id.pid === pid);
      backend = isFrozen && pid !== undefined && address !== undefined ? { pid, address } : undefined;
      for (const id of frozen) signalProcess(id, 'SIGSTOP');
    },
    heal: async (node) => {
      const wokenAt = clock.monotonic();
      if (backend !== undefined) await straggle(backend, frozen, clock);
      calm();
      return { node: node.name, frozenAt, wokenAt };
    },
    calm,
  };
}

/** How long a woken backend may be on its own before its guards are woken too. */
const ALONE_MS = 200;

/**
 * The worst that a frozen tree can do: its backend wakes first, and a request that was on its way to it is carried out.
 * It goes straight to the backend, past the proxy, and nobody counts its answer: it has to end up kept aside.
 */
async function straggle(
  backend: { readonly pid: number; readonly address: string },
  frozen: readonly ProcessId[],
  clock: Clock,
): Promise<void> {
  const body = JSON.stringify({ from: 'acct-0', to: 'acct-1', amount: 1 });
  const url = `${backend.address}/transfers/straggler-${Math.round(clock.monotonic())}`;
  const sent = fetch(url, { method: 'PUT', body, signal: AbortSignal.timeout(2000) }).then(
    (response) => response.body?.cancel(),
    () => undefined,
  );
  const process = frozen.find(({ pid }) => pid === backend.pid);
  if (process !== undefined) signalProcess(process, 'SIGCONT');
  await Promise.race([sent, clock.sleep(ALONE_MS)]);
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
