/**
 * How fast a lease moves when the process that holds it is killed and its warden lives: the lease time is ten seconds, so
 * whatever is below that, the warden did. Baseline: the lease time.
 */
import { eventually, spawnNode } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import { BUCKET, type ElectionRig } from './rig.ts';

const TTL_MS = 10_000;
/** Holders that start together; they are killed one after another. */
const AT_ONCE = 5;
const HOLDER = new URL('./lease-holder/main.ts', import.meta.url);

export async function measureWarden(rig: ElectionRig, report: Report, rounds: number): Promise<void> {
  const { clock } = rig.env;
  const session = await rig.session('other');
  await rig.bucket(session);
  const moved = new Samples();
  for (let done = 0; done < rounds; done += AT_ONCE) {
    const groups = Array.from({ length: Math.min(AT_ONCE, rounds - done) }, () => rig.newGroup());
    await using stack = new AsyncDisposableStack();
    const holders = await Promise.all(
      groups.map(async (group) => {
        const spec = { connection: rig.connection, bucket: BUCKET, group, ttlMs: TTL_MS };
        const holder = stack.use(await spawnNode(HOLDER, [JSON.stringify(spec)]));
        await holder.line(/^leads$/);
        return { group, holder };
      }),
    );
    for (const { group, holder } of holders) {
      const other = await rig.election(session, { group, instanceId: 'other', ttl: TTL_MS });
      try {
        await eventually(() => other.leaderId === 'holder', { what: 'the sight of the holder' });
        const killedAt = clock.monotonic();
        holder.signal('SIGKILL');
        await other.waitForLeadership({ timeout: 2 * TTL_MS });
        moved.add(clock.monotonic() - killedAt);
      } finally {
        await other.stop();
      }
    }
  }
  report.figure('warden_failover.p50', 'ms', moved.p50, TTL_MS);
  report.figure('warden_failover.p99', 'ms', moved.p99, TTL_MS);
  report.figure('warden_failover.max', 'ms', moved.percentile(100), TTL_MS);
}
