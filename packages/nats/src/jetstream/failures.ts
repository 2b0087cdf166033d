/**
 * What went wrong below, by class or by number and never by text: the only place that looks inside errors of nats.js
 * and of the JetStream API. Above it there are CanopyErrors and `JetStreamRefusal`, nothing else.
 */
import { errors } from '@nats-io/transport-node';

/** An answer of the JetStream API that says no, with the server's own number for the reason. */
export class JetStreamRefusal extends Error {
  readonly errCode: number;
  readonly description: string;
  /** An earlier attempt of the same call timed out: it may be what this refusal is about. */
  readonly afterUnknown: boolean;

  constructor(errCode: number, description: string, afterUnknown = false) {
    super(`${description} (${errCode})`);
    this.errCode = errCode;
    this.description = description;
    this.afterUnknown = afterUnknown;
  }

  /** The same refusal of a call whose earlier attempt may have been carried out. */
  afterLoss(): JetStreamRefusal {
    return new JetStreamRefusal(this.errCode, this.description, true);
  }
}

/** The numbers of nats-server's errors.json that mean something to us. */
export const JS = {
  clusterIncomplete: 10004,
  noPeersForPlacement: 10005,
  clusterUnavailable: 10008,
  notLeader: 10009,
  consumerNotFound: 10014,
  consumerExists: 10148,
  insufficientResources: 10023,
  noMessage: 10037,
  disabledForAccount: 10039,
  storageExceeded: 10047,
  streamNameInUse: 10058,
  streamNotFound: 10059,
  wrongLastMessageId: 10070,
  wrongLastSequence: 10071,
  storeFailed: 10077,
  disabled: 10076,
  streamOffline: 10118,
  duplicateInFlight: 10158,
  wrongLastSequenceUnknown: 10164,
  raftNotReady: 10202,
} as const;

/** Somebody else wrote in between. */
export function isConflict(error: unknown): error is JetStreamRefusal {
  return refusedWith(error, JS.wrongLastSequence, JS.wrongLastSequenceUnknown);
}

export function refusedWith(error: unknown, ...codes: readonly number[]): error is JetStreamRefusal {
  return error instanceof JetStreamRefusal && codes.includes(error.errCode);
}

/** The stream is at max_bytes, or the account at its storage limit. 10077 is also used for faults of the disk. */
export function isFull(error: unknown): error is JetStreamRefusal {
  if (refusedWith(error, JS.storageExceeded)) return true;
  return refusedWith(error, JS.storeFailed) && error.description.startsWith('maximum bytes exceeded');
}

/** The server has no storage left, whatever the stream may have: its own limit, or its disk where it says so. */
export function isOutOfStorage(error: unknown): error is JetStreamRefusal {
  if (refusedWith(error, JS.insufficientResources)) return true;
  return refusedWith(error, JS.storeFailed) && error.description.includes('no space left');
}

/** Goes away by itself: the cluster is choosing leaders, or an earlier attempt is still on its way. */
export function isPassing(error: unknown): boolean {
  return refusedWith(
    error,
    JS.clusterIncomplete,
    JS.noPeersForPlacement,
    JS.clusterUnavailable,
    JS.notLeader,
    JS.streamOffline,
    JS.duplicateInFlight,
    JS.raftNotReady,
  );
}

export type TransportFault = 'no-responders' | 'timeout' | 'closed' | 'permission' | 'auth' | 'refused' | 'other';

/** The kind of failure that nats.js reported. */
export function transportFault(error: unknown): TransportFault {
  if (error instanceof errors.TimeoutError) return 'timeout';
  if (error instanceof errors.NoRespondersError) return 'no-responders';
  if (error instanceof errors.PermissionViolationError) return 'permission';
  if (error instanceof errors.ClosedConnectionError || error instanceof errors.DrainingConnectionError) return 'closed';
  if (error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError)
    return 'auth';
  if (error instanceof errors.ConnectionError) return 'refused';
  if (error instanceof errors.RequestError) return error.cause === undefined ? 'closed' : transportFault(error.cause);
  if (error instanceof Error && error.cause !== undefined) return transportFault(error.cause);
  return 'other';
}
