/** A real server with a lease in a bucket, and a parent process that holds it. */
import {
  identifyProcess,
  isGroupGone,
  markOf,
  type ProcessId,
  processesWithMark,
  signalProcess,
  systemClock,
  systemEnv,
} from '@canopy/core';
import { connectNats, type Kv, type NatsSession } from '@canopy/nats';
import {
  type ChildNode,
  eventually,
  spawnNode,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';

export const BUCKET = 'test_election';
export const KEY = 'shop';

export interface Rig extends AsyncDisposable {
  readonly nats: TestNatsServer;
  readonly session: NatsSession;
  readonly kv: Kv;
  readonly revision: number;
  parent(options?: { leaseMs?: number; renewMs?: number; drainMs?: number; token?: string }): Promise<Parent>;
}

export interface Parent {
  readonly node: ChildNode;
  readonly warden: ProcessId;
  readonly kill: ProcessId;
  readonly drain: ProcessId;
  /** The file that the drained process writes at its good end. */
  readonly drained: string;
  says(type: string): Promise<Record<string, unknown>>;
}

export async function rig(): Promise<Rig> {
  const stack = new AsyncDisposableStack();
  const nats = stack.use(await testNatsServer());
  const session = stack.use(await connectNats(nats.connection, { name: 'test', env: systemEnv() }));
  const kv = await session.ensureKv(BUCKET);
  const value = JSON.stringify({ id: 'n1', token: 'token-1' });
  const revision = await kv.create(KEY, new TextEncoder().encode(value));
  return {
    nats,
    session,
    kv,
    revision,
    async parent(options = {}) {
      const directory = stack.use(await temporaryDirectory());
      const drained = `${directory.path}/drained`;
      const config = { leaseMs: 10_000, renewMs: 100, drainMs: 1500, ...options };
      const given = { ...config, drained, connection: nats.connection, bucket: BUCKET, key: KEY, revision };
      const script = new URL('./fixtures/parent.ts', import.meta.url);
      const node = stack.use(await spawnNode(script, [JSON.stringify(given)]));
      const says = async (type: string): Promise<Record<string, unknown>> =>
        JSON.parse(await node.line((line) => line.startsWith('{') && JSON.parse(line).type === type));
      const up = await says('up');
      const [warden, kill, drain] = [up.warden, up.kill, up.drain].map((pid) => identifyProcess(pid as number));
      const parent = { node, warden, kill, drain, drained, says } as Parent;
      const marks = [parent.kill, parent.drain].map((id) => markOf(id.pid) as string);
      stack.defer(async () => {
        // Whatever a failed test, or one that never ends its parent, left behind.
        for (const stray of marks.flatMap(processesWithMark)) signalProcess(stray, 'SIGKILL');
        for (const id of [parent.kill, parent.drain]) if (!isGroupGone(id)) process.kill(-id.pid, 'SIGKILL');
        if (identifyProcess(parent.warden.pid)?.startTicks === parent.warden.startTicks)
          process.kill(parent.warden.pid, 'SIGKILL');
      });
      return parent;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Resolves with the time at which the key was seen deleted, after calling `atOnce`. */
export async function deletion(kv: Kv, signal: AbortSignal, atOnce: () => void): Promise<number> {
  for await (const event of kv.watch(KEY, { signal })) {
    if (event.type !== 'entry' || event.entry.operation !== 'delete') continue;
    atOnce();
    return systemClock.monotonic();
  }
  throw new Error('the watch ended');
}

export async function goneGroup(id: ProcessId, timeoutMs = 10_000): Promise<number> {
  await eventually(() => isGroupGone(id), { timeoutMs, everyMs: 2, what: `the end of group ${id.pid}` });
  return systemClock.monotonic();
}
