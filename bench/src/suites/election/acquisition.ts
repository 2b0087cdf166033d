/**
 * From wanting to lead to leading, on a vacant group, by who wants it: a candidate that must connect first, one that starts on
 * an open connection, one more role of a process that has its bucket open. Baseline: one bare conditional create, in turns.
 * Through a line of 20 ms there and back the quotient is the number of round trips, whatever the machine.
 */
import { Election, RoleManager } from '@canopy/election';
import type { NatsSession } from '@canopy/nats';
import { TcpProxy } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import { sampleLease } from './lease-costs.ts';
import { BUCKET, type ElectionRig } from './rig.ts';

const ONE_WAY_MS = 10;
/** What the last one leaves behind (its release, the end of its watch) is done by then. */
const PAUSE_MS = 5;
const LEAD = { timeout: 10_000 };

export async function measureAcquisition(rig: ElectionRig, report: Report, rounds: number): Promise<void> {
  const session = await rig.session('acquire');
  const near = await acquisitions(rig, session, rounds);
  for (const way of ['acquire', 'acquire_role', 'acquire_cold'] as const) {
    report.figure(`${way}.p50`, 'ms', near[way].p50, near.create.p50);
    report.figure(`${way}.p99`, 'ms', near[way].p99, near.create.p99);
  }
  report.figure('acquire_vs_update.p50', 'ms', near.acquire.p50, near.update.p50);
  await using proxy = await TcpProxy.start(rig.url);
  proxy.delay(ONE_WAY_MS);
  const far = await acquisitions(rig, await rig.session('far', { servers: [proxy.url] }), Math.ceil(rounds / 10));
  report.figure('acquire_at_20ms.p50', 'ms', far.acquire.p50, far.create.p50);
  report.figure('acquire_role_at_20ms.p50', 'ms', far.acquire_role.p50, far.create.p50);
}

async function acquisitions(rig: ElectionRig, session: NatsSession, rounds: number) {
  const { clock } = rig.env;
  const kv = await rig.bucket(session);
  await session.ensureKv(`${BUCKET}_epochs`);
  const taken = {
    create: new Samples(),
    update: new Samples(),
    acquire: new Samples(),
    acquire_role: new Samples(),
    acquire_cold: new Samples(),
  };
  const timed = async <T>(what: keyof typeof taken, work: () => Promise<T>): Promise<T> => {
    await clock.sleep(PAUSE_MS);
    const from = clock.monotonic();
    const result = await work();
    taken[what].add(clock.monotonic() - from);
    return result;
  };
  const place = { bucket: BUCKET, bucketTtl: 0, instanceId: 'a', jitter: 0 };
  const alone = async (what: keyof typeof taken, from: { session: NatsSession } | { servers: string }) => {
    const election = new Election({ ...place, ...from, group: rig.newGroup() }, rig.env);
    await timed(what, () => Promise.all([election.start(), election.waitForLeadership(LEAD)]));
    await election.stop();
  };
  await using manager = new RoleManager({ session, ...place }, rig.env);
  await manager.start();
  for (let i = 0; i < rounds; i++) {
    const key = rig.newGroup();
    const revision = await timed('create', () => kv.create(key, sampleLease(BUCKET)));
    await timed('update', () => kv.update(key, sampleLease(BUCKET), revision));
    await alone('acquire', { session });
    const role = rig.newGroup();
    await timed('acquire_role', async () => (await manager.add(role)).waitForLeadership(LEAD));
    await manager.remove(role);
    await alone('acquire_cold', { servers: rig.url });
  }
  return taken;
}
