/**
 * The warden's own connection: opened at start, kept for ever, used for one message at the end. Only the transport is
 * loaded (no JetStream client), because a warden's memory counts on every node. An outage is never an error here: the
 * link connects again until it is told to close.
 */
import type { Clock, ConnectionSpec } from '@canopy/core';
import { messageOf } from '@canopy/core';
import { connect, connectOptions, headers, type NatsConnection } from '@canopy/nats/transport';

const RETRY_MS = 200;
/** Rare, for idle cost: a connection that died in silence is found out, and dialled anew, by the release itself. */
const PING_MS = 5000;

export class NatsLink {
  readonly #spec: ConnectionSpec;
  readonly #name: string;
  readonly #clock: Clock;
  readonly #onChange: (connected: boolean, detail: string) => void;
  #connection: Promise<NatsConnection>;
  #lastTold = '';

  constructor(
    spec: ConnectionSpec,
    name: string,
    clock: Clock,
    onChange: (connected: boolean, detail: string) => void,
  ) {
    this.#spec = spec;
    this.#name = name;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#connection = this.#open();
  }

  /** One answer within `timeoutMs`, the wait for a connection included; rejects otherwise. */
  async request(
    subject: string,
    body: string,
    fields: Readonly<Record<string, string>>,
    timeoutMs: number,
  ): Promise<string> {
    const expiry = Promise.withResolvers<never>();
    const timer = this.#clock.timer(timeoutMs, () => expiry.reject(new Error('timeout')));
    try {
      const connection = await Promise.race([this.#connection, expiry.promise]);
      const head = headers();
      for (const [name, value] of Object.entries(fields)) head.set(name, value);
      const reply = connection.request(subject, body, { timeout: timeoutMs, headers: head });
      reply.catch(() => {});
      return (await Promise.race([reply, expiry.promise])).string();
    } finally {
      timer.cancel();
    }
  }

  /** Drops a connection that no longer answers and dials the next server. */
  async redial(): Promise<void> {
    const settled = await Promise.race([this.#connection, undefined]);
    await settled?.reconnect().catch(() => {});
  }

  /** Changes only: an outage of hours is one line. */
  #tell(connected: boolean, detail: string): void {
    const told = `${connected} ${detail}`;
    if (told === this.#lastTold) return;
    this.#lastTold = told;
    this.#onChange(connected, detail);
  }

  async #open(): Promise<NatsConnection> {
    for (;;) {
      try {
        const connection = await connect({ ...(await connectOptions(this.#spec, this.#name)), pingInterval: PING_MS });
        this.#tell(true, connection.getServer());
        void this.#follow(connection);
        return connection;
      } catch (error) {
        this.#tell(false, messageOf(error));
        await this.#clock.sleep(RETRY_MS);
      }
    }
  }

  async #follow(connection: NatsConnection): Promise<void> {
    const closed = connection.closed().then((error) => {
      this.#tell(false, error === undefined ? 'closed' : messageOf(error));
      this.#connection = this.#open();
    });
    for await (const status of connection.status()) {
      if (status.type === 'reconnect') this.#tell(true, status.server);
      else if (status.type === 'disconnect') this.#tell(false, status.server);
    }
    await closed;
  }
}
