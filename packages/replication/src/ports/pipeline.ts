/**
 * The pipelines that a caller may bring: whatever takes events, and at most hands them on. They promise nothing about order,
 * repetition or loss beyond what their own documentation says; where more is promised, the pipeline is an `EventLog`.
 */

/** Takes events. Always a batch, also for one event. Rejects when the batch may not have been taken. */
export interface Pipeline {
  send(events: readonly unknown[]): Promise<void>;
}

/** What a follower can listen to. Both may be absent: then it starts, and receives nothing. */
export interface FollowerPipeline extends Pipeline {
  /** Calls back with each event of the namespace from now on; returns what ends it. */
  subscribe?(namespace: string, callback: (event: unknown) => void): () => void;
  /** The events of the log, without the first `from` of them. */
  getEvents?(from?: number): readonly unknown[];
}

export type SubscribablePipeline = FollowerPipeline & Required<Pick<FollowerPipeline, 'subscribe'>>;

/** What masters meet at. */
export interface MultiMasterPipeline extends Pipeline {
  subscribe(masterId: string, handler: (event: unknown) => Promise<void>): () => void;
  getBufferedEvents?(from?: number): readonly unknown[];
  getEvents?(): readonly unknown[];
}

/** One event, as the batch that `send` wants. */
export async function sendOne(pipeline: Pipeline, event: unknown): Promise<void> {
  await pipeline.send([event]);
}

export function isSubscribablePipeline(pipeline: Pipeline): pipeline is SubscribablePipeline {
  return typeof (pipeline as FollowerPipeline).subscribe === 'function';
}
