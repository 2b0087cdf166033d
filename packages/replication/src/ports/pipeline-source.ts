/** Where an event subscriber reads from: topics with offsets that grow. */
export interface SourceEvent {
  readonly offset: number;
  readonly topic: string;
  readonly verb: string;
  /** Events with one key have one effect, within the window of the subscriber. */
  readonly idempotencyKey?: string;
  /** ISO 8601. */
  readonly timestamp: string;
  readonly payload: unknown;
  readonly _meta: { readonly namespace: string; readonly source: string; readonly isDelta?: boolean };
}

export interface SourceBatch {
  readonly events: readonly SourceEvent[];
  readonly nextOffset: number;
  readonly hasMore: boolean;
}

export interface PipelineSource {
  connect(topic: string): Promise<{ readonly topic: string; readonly offset: number }>;
  disconnect(): Promise<void>;
  subscribe(topic: string, callback: (event: SourceEvent) => void): void;
  unsubscribe(topic: string): void;
  consume(topic: string, fromOffset: number, limit: number): Promise<SourceBatch>;
  getLatestOffset(topic: string): Promise<number>;
}
