/** `canopy election status|watch|stepdown`: who leads which group of a bucket, and the request to give a lease up. */
import { coreErrors, formatDuration, systemEnv } from '@canopy/core';
import {
  controlErrors,
  type GroupChange,
  type GroupLease,
  readGroups,
  requestStepDown,
  watchGroups,
} from '@canopy/election';
import type { Kv } from '@canopy/nats';
import { type ClusterOptions, withSession } from '../connect.ts';
import { Interruption } from '../elect/interruption.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';
import { type Cell, renderTable } from '../output/table.ts';

export interface GroupsOptions extends ClusterOptions {
  readonly bucket: string;
  readonly group?: string | undefined;
}

export async function electionStatus(options: GroupsOptions, printer: Printer): Promise<number> {
  const { bucket, group } = options;
  return withSession(options, async (session) => {
    const leases = await readGroups(await session.kv(bucket), { filter: group });
    const now = systemEnv().clock.wall();
    if (group !== undefined && leases.length === 0)
      throw controlErrors.create('ELECTION_GROUP_VACANT', { group, bucket });
    const rows = leases.map((lease) => ({ ...leaseJson(lease), ...timesOf(lease, now) }));
    printer.result({ bucket, groups: rows }, () =>
      rows.length === 0
        ? `no group in bucket ${bucket} has a leader`
        : renderTable(['GROUP', 'LEADER', 'EPOCH', 'RENEWED', 'LEASE LEFT', 'STATE'], rows.map(statusRow)),
    );
    return rows.every((row) => row.standing === 'held' && row.leaseLeftMs !== 0) ? EXIT.ok : EXIT.failed;
  });
}

export async function electionWatch(options: GroupsOptions, printer: Printer): Promise<number> {
  using interruption = new Interruption();
  return await withSession(options, async (session) => {
    const kv = await session.kv(options.bucket);
    const env = systemEnv();
    for await (const change of watchGroups(kv, env, { filter: options.group, signal: interruption.signal }))
      printer.line(changeJson(change), () => changeText(change));
    // A person ends it with ctrl-C: that is no failure.
    if (interruption.signal.aborted) return EXIT.ok;
    throw coreErrors.create('DEADLINE_EXCEEDED', { operation: 'watching the bucket', timeoutMs: options.timeoutMs });
  });
}

export interface ElectionStepDownOptions extends GroupsOptions {
  readonly group: string;
  readonly to?: string | undefined;
  readonly wait?: boolean | undefined;
}

export async function electionStepDown(options: ElectionStepDownOptions, printer: Printer): Promise<number> {
  const { bucket, group, to, timeoutMs } = options;
  const { clock } = systemEnv();
  return withSession(options, async (session) => {
    const begun = clock.monotonic();
    const given = await requestStepDown(session, { bucket, group, to, timeoutMs });
    printer.note(`${given.from} gave ${group} up in ${Math.round(given.ms)} ms`);
    if (options.wait === false) {
      printer.result({ group, from: given.from, to: null, ms: given.ms }, () => `${group}: given up by ${given.from}`);
      return EXIT.ok;
    }
    const next = await nextLeader(await session.kv(bucket), group, given.epoch, timeoutMs);
    const ms = Math.round(clock.monotonic() - begun);
    printer.result(
      { group, from: given.from, to: next.holder, epoch: next.epoch, ms },
      () => `${group}: ${given.from} → ${next.holder} in ${ms} ms`,
    );
    return EXIT.ok;
  });
}

/** Waits until somebody leads under a later epoch. */
async function nextLeader(kv: Kv, group: string, epoch: number, timeoutMs: number): Promise<GroupLease> {
  const env = systemEnv();
  const late = new AbortController();
  const timer = env.clock.timer(timeoutMs, () => late.abort());
  try {
    for await (const change of watchGroups(kv, env, { filter: group, signal: late.signal }))
      if (change.type === 'led' && (change.lease.epoch ?? 0) > epoch) return change.lease;
  } finally {
    timer.cancel();
  }
  throw coreErrors.create('DEADLINE_EXCEEDED', { operation: `waiting for the next leader of ${group}`, timeoutMs });
}

/** By wall clocks, ours and the server's: an estimate for people. */
function timesOf(lease: GroupLease, now: number): { renewedMsAgo: number; leaseLeftMs: number | null } {
  const renewedMsAgo = Math.max(0, Math.round(now - lease.writtenAt));
  return { renewedMsAgo, leaseLeftMs: lease.ttlMs === 0 ? null : Math.max(0, Math.round(lease.ttlMs - renewedMsAgo)) };
}

function leaseJson(lease: GroupLease) {
  const { group, standing, holder, epoch, priority, revision, ttlMs, failsafeMs, next } = lease;
  return {
    group,
    standing,
    holder: holder ?? null,
    epoch: epoch ?? null,
    priority,
    revision,
    ttlMs,
    failsafeMs: failsafeMs ?? null,
    next: next ?? null,
  };
}

function statusRow(row: ReturnType<typeof leaseJson> & ReturnType<typeof timesOf>): Cell[] {
  const { group, holder, epoch, renewedMsAgo, leaseLeftMs, standing, failsafeMs } = row;
  const left = leaseLeftMs === null ? undefined : formatDuration(leaseLeftMs);
  // Whether the others have promised to wait is between them and the holder.
  const mayGoOn = failsafeMs !== null && renewedMsAgo < failsafeMs;
  const ranOut = mayGoOn ? 'run out, or held by promise (failsafe)' : 'run out';
  const state = standing === 'held' && leaseLeftMs === 0 ? ranOut : standing;
  return [group, holder ?? undefined, epoch ?? undefined, `${formatDuration(renewedMsAgo)} ago`, left, state];
}

function changeJson(change: GroupChange): object {
  if (!('lease' in change)) return change;
  const { type, at, lease } = change;
  return { type, at, ...leaseJson(lease) };
}

function changeText(change: GroupChange): string {
  const time = new Date(change.at).toISOString();
  if (change.type === 'synced') return `${time}  from here on as it happens`;
  if (change.type === 'interrupted') return `${time}  out of sight: ${change.reason}`;
  const { type, lease } = change;
  const what = {
    led: `${lease.holder} leads under epoch ${lease.epoch}`,
    released: lease.next === undefined ? 'given up' : `given up in favour of ${lease.next}`,
    vacant: 'nobody leads',
    unreadable: 'the value is no lease; it will be waited out',
    expired: `the lease of ${lease.holder ?? 'nobody known'} ran out${lease.failsafeMs === undefined ? '' : '; it may go on by promise (failsafe)'}`,
  }[type];
  return `${time}  ${lease.group}: ${what}`;
}
