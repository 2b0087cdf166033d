/** What the proxy knows of the app behind it: where requests go now, and how a write is confirmed. The app implements it. */

/** One term in which this node answers requests itself. Exists only while the app serves here. */
export interface ServingTerm {
  readonly epoch: number;
  /** `http://host:port` of the backend. */
  readonly backend: string;
  /** Whether the lease holds at this instant, from the clock: false from the first call after a freeze past it. */
  isValid(): boolean;
  /**
   * Resolves when everything committed before the call is replicated under this term's epoch: proof by itself, since the
   * log takes an entry of a deposed epoch from nobody. Rejects when that can't be had.
   */
  confirm(signal: AbortSignal): Promise<void>;
}

export type Route =
  | { readonly kind: 'local'; readonly term: ServingTerm }
  /** `address` is the `host:port` of that node's proxy. */
  | { readonly kind: 'remote'; readonly node: string; readonly address: string }
  | { readonly kind: 'none' };

export interface ProxyTarget {
  /** From memory, at once. */
  route(): Route;
  /** Resolves (never rejects) at the next change of the route, or when the signal aborts. */
  changed(signal: AbortSignal): Promise<void>;
}
