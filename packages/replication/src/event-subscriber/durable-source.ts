/**
 * Where a durable subscriber fetches from: a consumer whose position the server keeps. A durable pull consumer of `@canopy/nats` is one as it is. What is
 * delivered and not ended comes again, with a greater `attempt`, also after a restart.
 */
export interface DurableDelivery {
  readonly subject: string;
  /** Grows along the stream. */
  readonly sequence: number;
  readonly data: Uint8Array;
  header(name: string): string | undefined;
  /** The server's wall clock at the write, Unix ms. */
  readonly storedAt: number;
  /** 1 for the first delivery. */
  readonly attempt: number;
  /** What waited behind this one. */
  readonly pending: number;
  /** Done. Resolves when the server knows. */
  ack(): Promise<void>;
  /** Not done: comes again after this time. */
  nak(delayMs?: number): void;
  /** Never again. Resolves when the server knows. */
  term(): Promise<void>;
  /** Still at it: the time for an answer begins anew. */
  working(): void;
}

export interface DurableSource {
  readonly name: string;
  /** A batch, as soon as something is there; empty when nothing came in time. */
  fetch(options: {
    readonly max: number;
    readonly waitMs: number;
    readonly signal?: AbortSignal | undefined;
  }): Promise<readonly DurableDelivery[]>;
  info(): Promise<{ readonly pending: number; readonly ackPending: number }>;
}
