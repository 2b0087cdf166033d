/** How fast leadership moves: given away on purpose, and taken after the holder was cut off. */
import { TcpProxy } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import type { ElectionRig } from './rig.ts';

const TTL_MS = 1000;
const LEAD_TIMEOUT_MS = 10_000;
/** Leases that run out side by side: a hundred of them take a minute and not four. */
const AT_ONCE = 5;

/**
 * From the leader's call of handoff() to the successor's leading; both in this process, on connections of their own.
 * Baseline: two conditional updates one after the other, the least that a hand-off can be (one gives up, one takes).
 */
export async function measureHandoff(rig: ElectionRig, report: Report, rounds: number): Promise<void> {
  const { clock } = rig.env;
  const [ours, theirs] = [await rig.session('from'), await rig.session('to')];
  const kv = await rig.bucket(ours);
  const [moved, written] = [new Samples(), new Samples()];
  for (let i = 0; i < rounds; i++) {
    const group = rig.newGroup();
    const from = await rig.election(ours, { group, instanceId: 'a' });
    await from.waitForLeadership({ timeout: LEAD_TIMEOUT_MS });
    const to = await rig.election(theirs, { group, instanceId: 'b' });
    const begin = clock.monotonic();
    const led = to.waitForLeadership({ timeout: LEAD_TIMEOUT_MS }).then(() => clock.monotonic());
    await Promise.all([from.handoff('b'), led]);
    moved.add((await led) - begin);
    await Promise.all([to.stop(), from.stop()]);

    const key = rig.newGroup();
    const revision = await kv.create(key, new Uint8Array(200));
    const writeFrom = clock.monotonic();
    await kv.update(key, new Uint8Array(200), await kv.update(key, new Uint8Array(200), revision));
    written.add(clock.monotonic() - writeFrom);
  }
  report.figure('handoff.p50', 'ms', moved.p50, written.p50);
  report.figure('handoff.p99', 'ms', moved.p99, written.p99);
}

/**
 * From the moment at which the holder was cut off, at a random point between two renewals, to the other's leading; and
 * that less the lease time: below 0 where the last renewal lay further back than the other took. Baseline: the lease time.
 */
export async function measureExpiry(rig: ElectionRig, report: Report, rounds: number): Promise<void> {
  const whole = new Samples();
  for (let done = 0; done < rounds; done += AT_ONCE) {
    const batch = Array.from({ length: Math.min(AT_ONCE, rounds - done) }, () => expireOnce(rig));
    for (const ms of await Promise.all(batch)) whole.add(ms);
  }
  report.figure('ttl_failover.p50', 'ms', whole.p50, TTL_MS);
  report.figure('ttl_failover.p99', 'ms', whole.p99, TTL_MS);
  report.figure('ttl_failover_beyond_ttl.p50', 'ms', whole.p50 - TTL_MS);
  report.figure('ttl_failover_beyond_ttl.p99', 'ms', whole.p99 - TTL_MS);
}

async function expireOnce(rig: ElectionRig): Promise<number> {
  const { clock, random } = rig.env;
  await using proxy = await TcpProxy.start(rig.url);
  const group = rig.newGroup();
  const cut = await rig.session('cut', { servers: [proxy.url] });
  const rest = await rig.session('other');
  const holder = await rig.election(cut, { group, instanceId: 'a', ttl: TTL_MS });
  await holder.waitForLeadership({ timeout: LEAD_TIMEOUT_MS });
  const other = await rig.election(rest, { group, instanceId: 'b', ttl: TTL_MS });
  await clock.sleep(TTL_MS / 2 + random.next() * TTL_MS);
  const cutAt = clock.monotonic();
  await proxy.refuse();
  await other.waitForLeadership({ timeout: LEAD_TIMEOUT_MS });
  const ms = clock.monotonic() - cutAt;
  await proxy.heal();
  await Promise.all([holder.stop(), other.stop()]);
  await Promise.all([cut.close(), rest.close()]);
  return ms;
}
