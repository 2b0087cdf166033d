/** Keeping a lease, in turns with the one write that it can't do without. */
import { type Metrics, noMetrics } from '@canopy/core';
import { encodeLease } from '@canopy/election';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import { BUCKET, type ElectionRig } from './rig.ts';

const BEAT_MS = 20;

/** One renewal as the leader's own metric tells it. Baseline: a bare conditional update of a key beside it. */
export async function measureRenewal(rig: ElectionRig, report: Report, rounds: number): Promise<void> {
  const { clock } = rig.env;
  const session = await rig.session('renew');
  const kv = await rig.bucket(session);
  const [renewed, updated] = [new Samples(), new Samples()];
  const env = { ...rig.env, metrics: observing('election_heartbeat_duration_seconds', (s) => renewed.add(s * 1000)) };
  const options = { group: rig.newGroup(), instanceId: 'a', ttl: 1000, heartbeatInterval: BEAT_MS };
  const election = await rig.election(session, options, env);
  try {
    const key = rig.newGroup();
    let revision = await kv.create(key, sampleLease(BUCKET));
    while (renewed.count < rounds) {
      const from = clock.monotonic();
      revision = await kv.update(key, sampleLease(BUCKET), revision);
      updated.add(clock.monotonic() - from);
      await clock.sleep(BEAT_MS);
    }
  } finally {
    await election.stop();
  }
  report.figure('renew.p50', 'ms', renewed.p50, updated.p50);
  report.figure('renew.p99', 'ms', renewed.p99, updated.p99);
}

/** The same number of bytes as a real one. */
export function sampleLease(id: string): Uint8Array {
  return encodeLease({ id, token: '00000000-0000-4000-8000-000000000000', priority: 0, epoch: 1, ttlMs: 10_000 });
}

/** Metrics of which one histogram is listened to. */
function observing(name: string, hear: (value: number) => void): Metrics {
  return {
    ...noMetrics,
    histogram: (spec) => (spec.name === name ? { observe: hear } : noMetrics.histogram(spec)),
  };
}
