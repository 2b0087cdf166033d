/**
 * Many candidates in one process, over one connection, and a holder elsewhere that gives the lease up, or is cut off: how
 * long until one leads, and how many writes all of them together tried meanwhile.
 */
import { Election } from '@canopy/election';
import { eventually, TcpProxy } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import { BUCKET, type ElectionRig } from '../election/rig.ts';
import { WriteCount } from './counted-kv.ts';

const TTL_MS = 3000;
const STARTS_AT_ONCE = 50;
const LEAD_TIMEOUT_MS = 4 * TTL_MS;
/** For late ones of the herd to have tried, too. */
const SETTLE_MS = 1000;

export async function measureHerd(rig: ElectionRig, report: Report, size: number, rounds: number): Promise<void> {
  const { clock, random } = rig.env;
  const ours = await rig.session(`herd-${size}`);
  const counted = new WriteCount();
  const kv = counted.on(await rig.bucket(ours));
  const group = rig.newGroup();
  const herd = Array.from({ length: size }, (_, i) => {
    const options = { session: ours, kv, bucket: BUCKET, group, instanceId: `n${i}`, ttl: TTL_MS, holdOff: 0 };
    return new Election({ ...options, bucketTtl: 0 }, rig.env);
  });
  const moves = { release: new Samples(), expiry: new Samples() };
  const writes = { release: new Samples(), expiry: new Samples() };
  try {
    for (let round = 0; round < rounds; round++) {
      for (const how of ['release', 'expiry'] as const) {
        await using proxy = await TcpProxy.start(rig.url);
        const theirs = await rig.session('holder', { servers: [proxy.url] });
        const holder = await rig.election(theirs, { group, instanceId: `holder-${how}-${round}`, ttl: TTL_MS });
        if (round === 0 && how === 'release') {
          await holder.waitForLeadership({ timeout: LEAD_TIMEOUT_MS });
          await inBatches(herd, (candidate) => candidate.start());
        } else {
          // The present leader is of the herd: it hands over to the holder of this round.
          await leaderOf(herd)?.handoff(holder.instanceId);
          await holder.waitForLeadership({ timeout: LEAD_TIMEOUT_MS });
        }
        const all = (): boolean => herd.every((candidate) => candidate.leaderId === holder.instanceId);
        await eventually(all, { what: 'the sight of the holder by all' });
        await clock.sleep(SETTLE_MS + random.next() * 500);
        counted.writes = 0;
        const from = clock.monotonic();
        const led = eventually(() => leaderOf(herd), { timeoutMs: LEAD_TIMEOUT_MS, everyMs: 1, what: 'a leader' });
        if (how === 'release') await holder.stop();
        else await proxy.refuse();
        await led;
        moves[how].add(clock.monotonic() - from);
        // The winner's renewals are no part of the price.
        const renewals = Math.floor(SETTLE_MS / (TTL_MS / 3));
        await clock.sleep(SETTLE_MS);
        writes[how].add(Math.max(0, counted.writes - renewals) / size);
        await proxy.heal();
        await holder.stop();
        await theirs.close();
      }
    }
  } finally {
    await inBatches(herd, (candidate) => candidate.stop());
  }
  report.figure(`herd_${size}.release.p50`, 'ms', moves.release.p50);
  report.figure(`herd_${size}.release.worst`, 'ms', moves.release.percentile(100));
  report.figure(`herd_${size}.release.writes_per_candidate`, 'writes', writes.release.percentile(100));
  report.figure(`herd_${size}.expiry.p50`, 'ms', moves.expiry.p50, TTL_MS);
  report.figure(`herd_${size}.expiry.worst`, 'ms', moves.expiry.percentile(100), TTL_MS);
  report.figure(`herd_${size}.expiry.writes_per_candidate`, 'writes', writes.expiry.percentile(100));
}

function leaderOf(herd: readonly Election[]): Election | undefined {
  return herd.find((candidate) => candidate.isLeader);
}

async function inBatches(herd: readonly Election[], work: (candidate: Election) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < herd.length; i += STARTS_AT_ONCE) await Promise.all(herd.slice(i, i + STARTS_AT_ONCE).map(work));
}
