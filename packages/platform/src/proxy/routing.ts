/**
 * What happens after an attempt to forward a request. Pure. The rule: a request is tried again only when it provably
 * never reached a backend, or when repeating it is harmless (a safe method); everything else is told to the client with
 * the fact whether anything may have been done.
 */

/** How one attempt ended without an answer to pass on. */
export type AttemptFailure =
  /** No connection, or the other node refused before reading the body: nothing was done. */
  | { readonly type: 'refused' }
  /** The connection broke before a response; the request, or part of it, may have arrived. */
  | { readonly type: 'broken' }
  /** No response head in time. */
  | { readonly type: 'timeout' }
  /** The answer of a safe request came through while the lease was no longer valid: it may be stale. */
  | { readonly type: 'stale' };

export interface RequestFacts {
  readonly isMutating: boolean;
  /** The body, as far as it was read, is still at hand. */
  readonly isReplayable: boolean;
  /** It came from another node's proxy, which decides about trying again. */
  readonly isHop: boolean;
  readonly waitedMs: number;
  readonly queueTimeoutMs: number;
}

export type Decision =
  | { readonly action: 'retry' }
  /** Tell the sending proxy that nothing was done here. */
  | { readonly action: 'refuse' }
  | {
      readonly action: 'fail';
      readonly status: 502 | 503 | 504;
      readonly code: 'PROXY_UNREACHABLE' | 'PROXY_OUTCOME_UNKNOWN' | 'PROXY_RESPONSE_TIMEOUT';
      /** Nothing was done: the client may repeat the request without a thought. */
      readonly untouched: boolean;
    };

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

export function isMutating(method: string): boolean {
  return !SAFE_METHODS.has(method.toUpperCase());
}

export function decide(failure: AttemptFailure, facts: RequestFacts): Decision {
  const untouched = failure.type === 'refused' || failure.type === 'stale' || !facts.isMutating;
  if (failure.type === 'timeout')
    return { action: 'fail', status: 504, code: 'PROXY_RESPONSE_TIMEOUT', untouched: !facts.isMutating };
  if (facts.isHop && untouched) return { action: 'refuse' };
  if (!untouched) return { action: 'fail', status: 503, code: 'PROXY_OUTCOME_UNKNOWN', untouched };
  if (facts.isReplayable && facts.waitedMs < facts.queueTimeoutMs) return { action: 'retry' };
  return { action: 'fail', status: 503, code: 'PROXY_UNREACHABLE', untouched };
}

/** What to do with a request before any attempt. */
export function admit(
  route: 'local' | 'remote' | 'none',
  hop: number,
): { readonly action: 'forward' } | { readonly action: 'wait' } | { readonly action: 'refuse' } {
  if (route === 'local') return { action: 'forward' };
  // A request that another proxy sent is never passed on again, so a loop can't form whatever two nodes believe.
  if (hop > 0) return { action: 'refuse' };
  return { action: route === 'remote' ? 'forward' : 'wait' };
}
