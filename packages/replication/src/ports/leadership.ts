/**
 * What replication needs of an election: one term at a time, with an epoch that grows. `Election` of `@canopy/election` and its
 * `Leadership` fit; so does whatever else proves that nobody else leads.
 */
export interface LeaderTerm {
  /** Higher than that of every earlier term. */
  readonly epoch: number;
  /** Aborts before anybody else can lead. */
  readonly signal: AbortSignal;
  /** The answer about now. */
  isValid(): boolean;
}

export interface LeaderElection {
  /** The term that this node holds, or undefined. */
  readonly leadership: LeaderTerm | undefined;
}
