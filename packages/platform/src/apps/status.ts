/** What an app says of itself on one node. Shown by /status, the control protocol and the CLI: a contract. */
import { type BackendStatus, type DatabaseStatus, formatPosition } from '@canopy/core';
import type { ElectionStatus } from '@canopy/election';
import type { Member } from '../members/machine.ts';
import type { AppRole, MemberApp } from '../members/record.ts';
import type { AppProxy } from '../proxy/proxy.ts';
import type { Route } from '../proxy/target.ts';
import type { HoldOff } from './hold-off.ts';
import type { ResolvedAppOptions } from './options.ts';
import type { TimelineEntry } from './timeline.ts';

export interface AppStatus {
  readonly app: string;
  readonly node: string;
  readonly role: AppRole;
  /** Requests are answered here: backend healthy, lease valid. */
  readonly serving: boolean;
  /** Of the term that this node is in; undefined while it follows. */
  readonly epoch: number | undefined;
  /** As this node sees it; undefined when there is none, or it is not known. */
  readonly leader: string | undefined;
  readonly leaderEpoch: number | undefined;
  /** Ms that the app stays out of elections after a failure; 0 when it does not. */
  readonly heldOffMs: number;
  /** Terms in a row that ended because something failed here. */
  readonly failures: number;
  /** Why it can't be active, or why the last term failed. */
  readonly problem: string | undefined;
  readonly election: ElectionStatus | undefined;
  readonly database: (DatabaseStatus & { readonly kind: string }) | undefined;
  readonly backend: (BackendStatus & { readonly kind: string }) | undefined;
  readonly proxy: ProxyStatus | undefined;
  /** Newest last. */
  readonly timeline: readonly TimelineEntry[];
}

export interface ProxyStatus {
  /** `host:port` where clients connect. */
  readonly address: string | undefined;
  readonly queued: number;
  readonly inFlight: number;
  readonly writes: 'replicated' | 'async';
  /** Where requests go now. */
  readonly route: 'local' | 'remote' | 'none';
  readonly routeNode: string | undefined;
}

/** What the status is made of, at one instant. */
export interface AppParts {
  readonly app: string;
  readonly node: string;
  readonly role: AppRole;
  readonly serving: boolean;
  readonly epoch: number | undefined;
  readonly leader: string | undefined;
  readonly leaderEpoch: number | undefined;
  readonly holdOff: HoldOff;
  readonly problem: string | undefined;
  readonly options: ResolvedAppOptions;
  readonly election: ElectionStatus | undefined;
  readonly database: DatabaseStatus | undefined;
  readonly backend: BackendStatus | undefined;
  readonly proxy: AppProxy | undefined;
  readonly proxyAddress: string | undefined;
  readonly route: Route;
  readonly timeline: readonly TimelineEntry[];
}

export function appStatus(parts: AppParts): AppStatus {
  const { holdOff, options, database, backend, proxy, proxyAddress, route, ...facts } = parts;
  return {
    ...facts,
    heldOffMs: Math.round(holdOff.leftMs),
    failures: holdOff.failures,
    database: database && { ...database, kind: options.database?.kind ?? '' },
    backend: backend && { ...backend, kind: options.backend?.kind ?? '' },
    proxy: proxy && {
      address: proxyAddress,
      queued: proxy.queued,
      inFlight: proxy.inFlight,
      writes: options.proxy?.writes ?? 'async',
      route: route.kind,
      routeNode: route.kind === 'remote' ? route.node : route.kind === 'local' ? parts.node : undefined,
    },
  };
}

/** Records are small: they are sent once a second. */
const SHOWN_PROBLEM_LENGTH = 200;

/** The app's part of the membership record. */
export function appRecord(parts: AppParts): MemberApp {
  const { role, serving, epoch, proxyAddress, database, problem } = parts;
  // A database that does not follow knows no distance, whatever it says.
  const knowsLag = role !== 'starting' && role !== 'demoting' && role !== 'failed';
  const { ms, tx } = (knowsLag ? database?.lag : undefined) ?? { ms: undefined, tx: undefined };
  return {
    role,
    serving,
    ...(epoch === undefined ? {} : { epoch }),
    ...(proxyAddress === undefined ? {} : { proxyAddress }),
    ...(database === undefined ? {} : { position: formatPosition(database.position) }),
    ...(ms === undefined ? {} : { lagMs: ms }),
    ...(tx === undefined ? {} : { lagTx: tx }),
    ...(problem === undefined ? {} : { problem: problem.slice(0, SHOWN_PROBLEM_LENGTH) }),
  };
}

/** Why `to` can't take the app over; undefined when it can. */
export function handoffProblem(app: string, from: string, to: string, member: Member | undefined): string | undefined {
  if (to === from) return 'it is the active node already';
  if (member === undefined) return 'there is no such member';
  if (member.health !== 'alive') return `it is ${member.health}`;
  if (member.record.cordoned) return 'it is cordoned';
  const shown = member.record.apps[app];
  if (shown === undefined) return 'it does not run the app';
  if (shown.role === 'standby') return undefined;
  return `its role is ${shown.role}${shown.problem === undefined ? '' : ` (${shown.problem})`}`;
}
