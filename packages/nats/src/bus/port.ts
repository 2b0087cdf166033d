/** The messaging port: at-most-once publish, subscribe, and request with one answer. */
export interface BusMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  /** Answers a request; does nothing for a message that expects no answer. */
  respond(data: Uint8Array, headers?: Readonly<Record<string, string>>): void;
}

export interface Bus {
  publish(subject: string, data: Uint8Array, headers?: Readonly<Record<string, string>>): void;
  /**
   * One answer. Throws BUS_NO_RESPONDERS at once when nobody listens, DEADLINE_EXCEEDED after `timeoutMs` (default 2 s),
   * BUS_PAYLOAD_TOO_LARGE before sending.
   */
  request(
    subject: string,
    data: Uint8Array,
    options?: { timeoutMs?: number; signal?: AbortSignal | undefined; headers?: Readonly<Record<string, string>> },
  ): Promise<BusMessage>;
  /**
   * Messages until the signal aborts, the iteration is left, or the session closes; subscribed at once, also before
   * the first `next()`. With `queue`, each message goes to one member of the group. A reader that falls 8192 messages
   * behind loses the oldest.
   */
  subscribe(subject: string, options?: { queue?: string; signal?: AbortSignal | undefined }): AsyncIterable<BusMessage>;
  /** Resolves when everything published or subscribed so far has reached the server. */
  flush(): Promise<void>;
}
