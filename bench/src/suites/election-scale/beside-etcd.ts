/**
 * Three moves of leadership on ours and, in turns, on etcd: a graceful release, the death of the holder where the lease has
 * to run out, and the death of a holder whose warden lives (on etcd that is the same death as before). Value ours, baseline
 * etcd's. Both servers flush every write.
 */
import { eventually, spawnNode, TcpProxy, temporaryDirectory } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import { BUCKET, type ElectionRig } from '../election/rig.ts';
import { Etcd, EtcdLease, findEtcd } from './etcd.ts';

const TTL_S = 3;
const TTL_MS = TTL_S * 1000;
const HOLDER = new URL('../election/lease-holder/main.ts', import.meta.url);
/** For the successor's watch to stand: who comes in the very moment of a release may miss it, on either. */
const WATCH_MS = 200;
const TIMEOUT_MS = 5 * TTL_MS;

type Move = (round: number) => Promise<number>;

export async function measureAgainstEtcd(
  rig: ElectionRig,
  report: Report,
  rounds: number,
  options: { readonly fetchEtcd: boolean },
): Promise<void> {
  const workspace = await temporaryDirectory('etcd-package');
  try {
    const found = await findEtcd(workspace.path, options.fetchEtcd);
    if ('reason' in found) {
      report.note(`beside etcd: skipped, ${found.reason}`);
      return;
    }
    await using etcd = await Etcd.start(found.path);
    const [release, kill] = [
      await measure(rounds * 3, ourRelease(rig), etcdRelease(rig, etcd)),
      await measure(rounds, ourKill(rig), etcdKill(rig, etcd)),
    ];
    const warden = await measure(rounds, ourKillWithWarden(rig));
    for (const [name, ours, theirs] of [
      ['release', release.ours, release.theirs],
      ['holder_kill', kill.ours, kill.theirs],
      ['holder_kill_with_warden', warden.ours, kill.theirs],
    ] as const) {
      report.figure(`beside_etcd.${name}.p50`, 'ms', ours.p50, theirs.p50);
      report.figure(`beside_etcd.${name}.worst`, 'ms', ours.percentile(100), theirs.percentile(100));
    }
  } finally {
    await workspace.remove();
  }
}

async function measure(rounds: number, ours: Move, theirs?: Move): Promise<{ ours: Samples; theirs: Samples }> {
  const samples = { ours: new Samples(), theirs: new Samples() };
  for (let i = 0; i < rounds; i++) {
    samples.ours.add(await ours(i));
    if (theirs !== undefined) samples.theirs.add(await theirs(i));
  }
  return samples;
}

function ourRelease(rig: ElectionRig): Move {
  const { clock } = rig.env;
  const sessions = Promise.all([rig.session('release-from'), rig.session('release-to')]);
  return async () => {
    const [from, to] = await sessions;
    const group = rig.newGroup();
    const holder = await rig.election(from, { group, instanceId: 'a', ttl: TTL_MS });
    await holder.waitForLeadership({ timeout: TIMEOUT_MS });
    const other = await rig.election(to, { group, instanceId: 'b', ttl: TTL_MS });
    await eventually(() => other.leaderId === 'a');
    await clock.sleep(WATCH_MS);
    const begun = clock.monotonic();
    const led = other.waitForLeadership({ timeout: TIMEOUT_MS }).then(() => clock.monotonic());
    await holder.stop();
    const tookMs = (await led) - begun;
    await other.stop();
    return tookMs;
  };
}

function etcdRelease(rig: ElectionRig, etcd: Etcd): Move {
  const { clock } = rig.env;
  return async (round) => {
    const key = `release-${round}`;
    const [holder, other] = [await EtcdLease.grant(etcd, key, TTL_S), await EtcdLease.grant(etcd, key, TTL_S)];
    await holder.campaign();
    const led = other.campaign().then(() => clock.monotonic());
    await clock.sleep(WATCH_MS);
    const begun = clock.monotonic();
    await holder.revoke();
    const tookMs = (await led) - begun;
    await other.revoke();
    return tookMs;
  };
}

/** Cut off at a random point between two renewals: to everybody else that is a death. */
function ourKill(rig: ElectionRig): Move {
  const { clock, random } = rig.env;
  const session = rig.session('kill-to');
  return async () => {
    await using proxy = await TcpProxy.start(rig.url);
    const group = rig.newGroup();
    const cut = await rig.session('kill-from', { servers: [proxy.url] });
    const holder = await rig.election(cut, { group, instanceId: 'a', ttl: TTL_MS });
    await holder.waitForLeadership({ timeout: TIMEOUT_MS });
    const other = await rig.election(await session, { group, instanceId: 'b', ttl: TTL_MS });
    await clock.sleep(TTL_MS / 2 + random.next() * TTL_MS);
    const begun = clock.monotonic();
    await proxy.refuse();
    await other.waitForLeadership({ timeout: TIMEOUT_MS });
    const tookMs = clock.monotonic() - begun;
    await proxy.heal();
    await Promise.all([holder.stop(), other.stop()]);
    await cut.close();
    return tookMs;
  };
}

/** Kept alive at a third of the ttl, as its clients do, then no more, at a random point. */
function etcdKill(rig: ElectionRig, etcd: Etcd): Move {
  const { clock, random } = rig.env;
  return async (round) => {
    const key = `kill-${round}`;
    const [holder, other] = [await EtcdLease.grant(etcd, key, TTL_S), await EtcdLease.grant(etcd, key, 10 * TTL_S)];
    await holder.campaign();
    const led = other.campaign().then(() => clock.monotonic());
    const until = clock.monotonic() + TTL_MS / 2 + random.next() * TTL_MS;
    while (clock.monotonic() < until) {
      await holder.keepAlive();
      await clock.sleep(Math.max(0, Math.min(TTL_MS / 3, until - clock.monotonic())));
    }
    const begun = clock.monotonic();
    const tookMs = (await led) - begun;
    await other.revoke();
    return tookMs;
  };
}

function ourKillWithWarden(rig: ElectionRig): Move {
  const { clock } = rig.env;
  const session = rig.session('warden-to');
  return async () => {
    const group = rig.newGroup();
    await rig.bucket(await session);
    const spec = { connection: rig.connection, bucket: BUCKET, group, ttlMs: TTL_MS };
    await using holder = await spawnNode(HOLDER, [JSON.stringify(spec)]);
    await holder.line(/^leads$/);
    const other = await rig.election(await session, { group, instanceId: 'other', ttl: TTL_MS });
    try {
      await eventually(() => other.leaderId === 'holder', { what: 'the sight of the holder' });
      const begun = clock.monotonic();
      holder.signal('SIGKILL');
      await other.waitForLeadership({ timeout: TIMEOUT_MS });
      return clock.monotonic() - begun;
    } finally {
      await other.stop();
    }
  };
}
