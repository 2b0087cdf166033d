/**
 * What it costs a process to lead many groups while nothing happens: CPU of this process alone. Baselines: the same number of
 * bare conditional updates on the same connection without a watch, each at a moment of its own, and sent together ten times a
 * heartbeat, as renewals are.
 */
import { RoleManager } from '@canopy/election';
import type { Kv } from '@canopy/nats';
import { eventually } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { BUCKET, type ElectionRig } from '../election/rig.ts';

const TTL_MS = 10_000;
const HEARTBEAT_MS = 1000;
const BATCH = 50;
const SLOTS = 10;

export async function measureManyGroups(rig: ElectionRig, report: Report, count: number, forMs: number): Promise<void> {
  const { clock } = rig.env;
  const session = await rig.session('many');
  const kv = await rig.bucket(session);
  const options = { instanceId: 'n1', bucket: BUCKET, bucketTtl: 0, ttl: TTL_MS, heartbeatInterval: HEARTBEAT_MS };
  const manager = new RoleManager({ session, ...options }, rig.env);
  await manager.start();
  for (let i = 0; i < count; i += BATCH) {
    const some = Array.from({ length: Math.min(BATCH, count - i) }, () => rig.newGroup());
    await Promise.all(some.map((group) => manager.add(group)));
  }
  await eventually(() => manager.leading.length === count, { timeoutMs: 30_000, what: `${count} led groups` });
  await clock.sleep(2 * HEARTBEAT_MS);
  const led = await cpuShare(rig, forMs);
  const still = manager.leading.length;
  if (still !== count) throw new Error(`only ${still} of ${count} are led`);
  await manager.stop();

  const spread = await bareUpdates(rig, kv, count, forMs, (i) => (i * HEARTBEAT_MS) / count);
  const together = await bareUpdates(rig, kv, count, forMs, (i) => (i % SLOTS) * (HEARTBEAT_MS / SLOTS));
  report.figure(`groups_${count}.cpu`, '% of a core', led, spread);
  report.figure(`groups_${count}.cpu_vs_together`, '% of a core', led, together);
}

async function bareUpdates(
  rig: ElectionRig,
  kv: Kv,
  count: number,
  forMs: number,
  startOf: (index: number) => number,
): Promise<number> {
  const { clock } = rig.env;
  const keys = Array.from({ length: count }, () => rig.newGroup());
  const value = new Uint8Array(120);
  const revisions = await Promise.all(keys.map((key) => kv.create(key, value)));
  const stop = new AbortController();
  const begunAt = clock.monotonic();
  const updating = keys.map(async (key, i) => {
    for (let at = begunAt + startOf(i); !stop.signal.aborted; at += HEARTBEAT_MS) {
      await clock.sleep(Math.max(0, at - clock.monotonic()), { signal: stop.signal }).catch(() => {});
      revisions[i] = await kv.update(key, value, revisions[i] as number);
    }
  });
  await clock.sleep(2 * HEARTBEAT_MS);
  const share = await cpuShare(rig, forMs);
  stop.abort();
  await Promise.all(updating);
  return share;
}

async function cpuShare(rig: ElectionRig, forMs: number): Promise<number> {
  const { clock } = rig.env;
  const [before, from] = [process.cpuUsage(), clock.monotonic()];
  await clock.sleep(forMs);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 10 / (clock.monotonic() - from);
}
